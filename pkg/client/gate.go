package client

import (
	"context"

	"github.com/raptorflow/tercet/internal/node"
)

// Limits bound the calls of one origin.
type Limits = node.Limits

// Overload is the [ErrOverloaded] of loads that were turned away at once; it says
// when to try again. Use errors.As with an *Overload.
type Overload = node.Overload

// Gate admits loads of one origin, such as a database with several loaders, in
// this process. Config.MaxLoads and its neighbours are a gate in front of all
// loaders; a slow origin with a gate of its own can't take the others' places.
// It is safe for concurrent use.
type Gate struct{ gate *node.Gate }

// NewGate returns a gate with limits l, whose zero fields mean their defaults.
func NewGate(l Limits) *Gate { return &Gate{node.NewGate(l)} }

// Loader returns load behind the gate: beyond the limits a load fails with
// [ErrOverloaded] and load is not called.
func (g *Gate) Loader(load Loader) Loader {
	return func(ctx context.Context, key string) (l Loaded, err error) {
		err = g.gate.Do(ctx, func(ctx context.Context) error {
			l, err = load(ctx, key)
			return err
		})
		return l, err
	}
}

// BatchLoader returns load behind the gate, where each call counts as one.
func (g *Gate) BatchLoader(load BatchLoader) BatchLoader {
	return func(ctx context.Context, keys []string) (found map[string]Loaded, err error) {
		err = g.gate.Do(ctx, func(ctx context.Context) error {
			found, err = load(ctx, keys)
			return err
		})
		return found, err
	}
}

// GateStats is what a gate sees.
type GateStats = node.GateStats

// Stats returns a snapshot.
func (g *Gate) Stats() GateStats { return g.gate.Stats() }
