package peers

import (
	"context"
	"sync/atomic"

	"github.com/raptorflow/tercet/internal/node"
)

type reserve struct {
	first, second node.Witness
	// told, by partition: second may know more than the first.
	told []atomic.Bool
}

var _ node.Witness = (*reserve)(nil)

// WithReserve returns the witness that is first's, in Redis, and while that is out of
// reach second's, with the members, for the partitions of one node. What second was told
// meanwhile counts until first has been raised past it.
func WithReserve(first, second node.Witness, partitions int) node.Witness {
	return &reserve{first: first, second: second, told: make([]atomic.Bool, partitions)}
}

func (w *reserve) Read(ctx context.Context, partition int) (node.Testimony, error) {
	t, err := w.first.Read(ctx, partition)
	if err == nil && !w.told[partition].Load() {
		return t, nil
	}
	r, failed := w.second.Read(ctx, partition)
	switch {
	case failed != nil:
		return t, err
	case err != nil, r.Epoch != t.Epoch && r.Epoch != 0, r.Epoch == t.Epoch && r.Position > t.Position:
		return r, nil
	}
	return t, nil
}

func (w *reserve) Raise(ctx context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	t, err := w.first.Raise(ctx, partition, from, to)
	if err != nil {
		w.told[partition].Store(true)
		return w.second.Raise(ctx, partition, from, to)
	}
	if t == to {
		w.told[partition].Store(false)
	}
	return t, nil
}
