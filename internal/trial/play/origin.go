package play

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/raptorflow/tercet/internal/trial/input"
	"github.com/raptorflow/tercet/internal/trial/truth"
)

// Origin is where the fleet's nodes load from: the truth, as slow as a database
// is. Its methods are safe for concurrent use.
type Origin struct {
	truth *truth.Truth
	tally tally
}

// NewOrigin returns the origin of the workload's values.
func NewOrigin(w *input.Workload) *Origin {
	return &Origin{truth: truth.New(w.Schema, w.Attributes, time.Now)}
}

// slowest is how long a load takes at most; half of it on average.
const slowest = time.Millisecond

// Load is a [Load]. It is slow after it has read: what it returns may have been
// overwritten meanwhile, as happens to every loader.
func (o *Origin) Load(ctx context.Context, key string) (payload []byte, tags []string, err error) {
	o.tally.loads.Add(1)
	payload, tags = o.truth.Load(key)
	t := time.NewTimer(rand.N(slowest))
	defer t.Stop()
	select {
	case <-t.C:
		return payload, tags, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}
