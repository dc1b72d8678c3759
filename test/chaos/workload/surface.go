package workload

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/history"
)

// read is what a client asks for.
type read struct {
	level string
	bound time.Duration
	token string // of the session; always told, so that the answer's covers it
}

// answer is what it was told. A read's value stands in value.
type answer struct {
	outcome history.Outcome
	value   int64
	strange string
	trouble string
	token   string
}

// surface is one way to one member. A surface is for one goroutine.
type surface interface {
	member() string
	via() string
	get(ctx context.Context, key string, r read) answer
	// getMany answers for each key, in their order.
	getMany(ctx context.Context, keys []string, r read) []answer
	set(ctx context.Context, key string, value int64, token string, everywhere bool) answer
	invalidate(ctx context.Context, s events.Scope, token string, everywhere bool) answer
	close()
}

// publisher is a surface that takes domain events.
type publisher interface {
	publish(ctx context.Context, id, kind string, data map[string]string) answer
}

// eventSource is the source of the workload's domain events.
const eventSource = "/chaos"

func found(key string, b []byte) answer {
	a := answer{outcome: history.Done}
	a.value, a.strange = decode(key, b)
	return a
}
