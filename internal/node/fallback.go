package node

import (
	"context"
	"errors"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Fallback says when a read takes a copy behind a soft fence. The answer is
// marked as stale. A copy behind a hard fence, under an open bracket or past
// its expiry is never one; nor is any for a read at level strong, or for one
// within a loader.
type Fallback uint8

const (
	// NoFallback: never.
	NoFallback Fallback = iota
	// IfOriginFails: when the loader fails, or the reader's patience ends
	// before it answers. A read without a loader gets the copy at once: the
	// origin is its caller's business.
	IfOriginFails
	// WhileReloading: besides, while the loader runs, which the read starts and
	// does not wait for.
	WhileReloading
)

// spare is the youngest copy behind a soft fence that a lookup passed over. A
// nil spare takes none.
type spare struct {
	entry  tiers.Entry
	source Source
}

func spareFor(o ReadOptions) *spare {
	if o.Fallback == NoFallback || o.Level.Kind() == consistency.KindStrong && !mutant.On(mutant.FallbackAtStrong) {
		return nil
	}
	return new(spare)
}

// offer takes a copy of e, if it may serve as a fallback.
func (s *spare) offer(p *partition, e tiers.Entry, now clock.Reading, key coherence.Fence, from Source) {
	if s == nil || e.Expired(now.Unix) || e.Flags()&tiers.FlagNegative != 0 || s.has() && s.entry.Birth() >= e.Birth() {
		return
	}
	if p.judge(e, key) != coherence.Stale && !mutant.On(mutant.FallbackUnjudged) {
		return
	}
	s.entry, s.source = append(s.entry[:0], e...), from
}

func (s *spare) has() bool { return s != nil && s.entry != nil }

// fallBack answers with the spare, which was judged under a lease that held.
func (n *Node) fallBack(p *partition, s *spare) Result {
	n.stats.fallbacks.Add(1)
	p.served(nil, s.entry)
	return Result{Entry: s.entry, Source: s.source, Stale: !mutant.On(mutant.FallbackUnmarked)}
}

// reload starts a load that nobody waits for, unless one is running.
func (n *Node) reload(ctx context.Context, p *partition, key string, fence coherence.Fence, o ReadOptions) {
	if o.Load == nil || p.bypassing.Load() > 0 && p.bypassed(key) {
		return
	}
	if f, mine := p.board(key, fence, o); mine {
		n.fly(ctx, p, key, f, fence, o)
	}
}

// failSafe answers a read whose load failed. The copy is looked for anew: what
// a hard fence has killed meanwhile is no fallback, and the lease must hold now
// (P29, P44).
func (n *Node) failSafe(ctx context.Context, p *partition, key string, o ReadOptions, cause error) (Result, error) {
	if errors.Is(cause, ErrNotFound) {
		return Result{}, cause // the origin did not fail
	}
	fresh := p.fresh.Load()
	spare := spareFor(o)
	r, ok, _ := n.lookup(ctx, p, key, nil, spare)
	if !p.still(fresh, o.Level) {
		return Result{}, cause
	}
	switch {
	case ok && r.Entry.Flags()&tiers.FlagNegative == 0:
		p.served(nil, r.Entry)
		return r, nil
	case spare.has():
		return n.fallBack(p, spare), nil
	}
	return Result{}, cause
}
