package copies

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/raptorflow/tercet/internal/events"
)

const (
	// openAfter is how many questions in a row a node must leave unanswered
	// before it is not asked any more, openFor how long that lasts before one
	// question is let through.
	openAfter = 3
	openFor   = time.Second
)

// breakers hold one breaker for each node that was asked.
type breakers struct {
	all sync.Map // events.NodeID to *breaker
}

type breaker struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
}

func (b *breakers) of(id events.NodeID) *breaker {
	if x, ok := b.all.Load(id); ok {
		return x.(*breaker)
	}
	x, _ := b.all.LoadOrStore(id, &breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        "fetch " + string(id),
		MaxRequests: 1,
		Timeout:     openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= openAfter },
		// Another owner was quicker, or the reader gave up.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
	})})
	return x.(*breaker)
}
