package client

import (
	"context"
	"sync/atomic"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/peers"
)

// reserveWitness is the witness in Redis, and while that is out of reach the
// one with the members. What these were told meanwhile counts until Redis has been
// raised past it.
type reserveWitness struct {
	first, reserve node.Witness
	// told, by partition: the reserve may know more than the first.
	told []atomic.Bool
}

var _ node.Witness = (*reserveWitness)(nil)

func (w *reserveWitness) Read(ctx context.Context, partition int) (node.Testimony, error) {
	t, err := w.first.Read(ctx, partition)
	if err == nil && !w.told[partition].Load() {
		return t, nil
	}
	r, failed := w.reserve.Read(ctx, partition)
	switch {
	case failed != nil:
		return t, err
	case err != nil, r.Epoch != t.Epoch && r.Epoch != 0, r.Epoch == t.Epoch && r.Position > t.Position:
		return r, nil
	}
	return t, nil
}

func (w *reserveWitness) Raise(ctx context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	t, err := w.first.Raise(ctx, partition, from, to)
	if err != nil {
		w.told[partition].Store(true)
		return w.reserve.Raise(ctx, partition, from, to)
	}
	if t == to {
		w.told[partition].Store(false)
	}
	return t, nil
}

// buildWitness lets the members keep what must outlive the log, where Redis
// does not.
func (c *Client) buildWitness(settings events.Settings, deps *node.Deps) (err error) {
	c.witness, err = peers.NewWitness(c.nc, c.cfg.Domain, deps.Incarnation)
	switch {
	case err != nil:
		return err
	case c.l2 == nil:
		deps.Witness = c.witness
	default:
		deps.Witness = &reserveWitness{first: witnessPort{c.l2}, reserve: c.witness, told: make([]atomic.Bool, settings.Partitions)}
	}
	return nil
}
