package warmer

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/popularity"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

// Follower is the part of [events.Log] that warming needs; its Follow holds
// what is said there.
type Follower interface {
	Follow(ctx context.Context, from events.Mark, sink events.Sink) error
}

// Accesses delivers encoded summaries of reads to fn, one after the other,
// until ctx is done; it returns ctx's error. It retries what may pass. Data
// belongs to fn. Summaries may be lost, repeated and reordered.
type Accesses interface {
	Follow(ctx context.Context, fn func(data []byte)) error
}

// Queue takes requests. Push blocks until the queue has q or ctx is done; an
// error means that q may be lost. It is called from one goroutine.
type Queue interface {
	Push(ctx context.Context, q wire.Request) error
}

// Predictor says which keys should be loaded. It is called from one goroutine
// and must not block.
type Predictor interface {
	// Learn takes what a node read.
	Learn(now time.Time, s *wire.Summary)
	// Killed returns the keys that are worth a load because data, an encoded
	// record of partition, killed their copies; the worthiest first, and a
	// bounded number. Keys of other partitions may be among them.
	Killed(now time.Time, partition int, data []byte) []popularity.Estimate
	// Forget says that the history of partition was replaced.
	Forget(partition int)
}
