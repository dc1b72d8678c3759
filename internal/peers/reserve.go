package peers

import (
	"context"
	"sync/atomic"

	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/node"
)

// Keeper is a witness of which can be seen what it keeps, without asking anybody.
type Keeper interface {
	node.Witness
	Keeps(partition int) []node.Testimony
}

var _ Keeper = (*Witness)(nil)

type reserve struct {
	first  node.Witness
	second Keeper
	// told, by partition: this node could tell second alone.
	told []atomic.Bool
}

var _ node.Witness = (*reserve)(nil)

// WithReserve returns the witness that is first's, in Redis, and while that is out of
// reach second's, with the members, for the partitions of one node. What second was told
// meanwhile, by this node or another, counts until first has been raised past it.
func WithReserve(first node.Witness, second Keeper, partitions int) node.Witness {
	return &reserve{first: first, second: second, told: make([]atomic.Bool, partitions)}
}

func (w *reserve) Read(ctx context.Context, partition int) (node.Testimony, error) {
	t, err := w.first.Read(ctx, partition)
	if err == nil && !w.told[partition].Load() {
		// Redis may have been out of others' reach, or have lost what it kept.
		for _, k := range w.second.Keeps(partition) {
			if t == (node.Testimony{}) || k.Epoch == t.Epoch && k.Position > t.Position {
				return k, nil
			}
		}
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
		w.told[partition].Store(!mutant.On(mutant.ReserveForgotten))
		return w.second.Raise(ctx, partition, from, to)
	}
	if t == to {
		w.told[partition].Store(false)
	}
	return t, nil
}
