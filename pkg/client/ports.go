package client

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers/redis"
	"github.com/raptorflow/tercet/internal/turn"
)

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
