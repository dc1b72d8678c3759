package client

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/redis"
	"github.com/raptorflow/tercet/internal/turn"
)

// diskPort gives the disk tier the node's words: the tier stores fences as
// bytes and positions and knows nothing of what they mean.
type diskPort struct{ *disk.Store }

var _ node.Disk = diskPort{}

func (d diskPort) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	f, err := d.Store.Lookup(key, dst)
	return f.Fence, f.Entry, err
}

func (d diskPort) Batch(partition int) node.Batch { return batchPort{d.Store.Batch(partition)} }

func (d diskPort) Broad(partition int, fn func(coherence.BroadFence) error) error {
	return d.Store.Broad(partition, func(kind byte, name string, f tiers.Fence) error {
		return fn(coherence.BroadFence{Kind: coherence.Kind(kind), Name: name, Fence: coherence.Fence(f)})
	})
}

type batchPort struct{ *disk.Batch }

var _ node.Batch = batchPort{}

func (b batchPort) FenceBroad(f coherence.BroadFence) {
	b.Batch.FenceBroad(byte(f.Kind), f.Name, tiers.Fence(f.Fence))
}

func (b batchPort) DropBroad(kind coherence.Kind, name string) { b.Batch.DropBroad(byte(kind), name) }

func (b batchPort) SoftenKey(key string, p events.Position) error { return b.Batch.SoftenKey(key, p) }

// witnessPort gives the witness in Redis the node's words.
type witnessPort struct{ tier *redis.Tier }

var _ node.Witness = witnessPort{}

func (w witnessPort) Read(ctx context.Context, partition int) (node.Testimony, error) {
	t, err := w.tier.ReadWitness(ctx, partition)
	return node.Testimony(t), err
}

func (w witnessPort) Raise(ctx context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	t, err := w.tier.RaiseWitness(ctx, partition, redis.Witness(from), redis.Witness(to))
	return node.Testimony(t), err
}

// turnsPort gives the turns that Redis grants the node's words.
type turnsPort struct{ tier *redis.Tier }

var _ node.Turns = turnsPort{}

func (t turnsPort) Take(ctx context.Context, r turn.Request) (turn.Answer, error) {
	return t.tier.TakeTurn(ctx, r)
}

func (t turnsPort) TakeMany(ctx context.Context, rs []turn.Request) []turn.Taken {
	return t.tier.TakeTurns(ctx, rs)
}

func (t turnsPort) Extend(ctx context.Context, c turn.Claim, d time.Duration) (bool, error) {
	return t.tier.ExtendTurn(ctx, c, d)
}

func (t turnsPort) Release(ctx context.Context, c turn.Claim) (turn.Ended, error) {
	return t.tier.ReleaseTurn(ctx, c)
}
