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

// Fallback says when a read takes a copy that has expired, for [Policy.MaxStale]
// at most, or that lies behind a soft fence. The answer is marked as stale. A
// copy behind a hard fence, under an open bracket or of another epoch is never
// one; nor is any for a read within a loader, or one behind a soft fence at level
// strong. An expired copy is a matter of time and not of the log: at every level
// it has passed the judgement that a fresh one has to pass.
type Fallback uint8

const (
	// NoFallback: as the policy says, and that by default never.
	NoFallback Fallback = iota
	// IfOriginFails: when the loader fails, or the reader's patience ends
	// before it answers. A read without a loader gets the copy at once: the
	// origin is its caller's business.
	IfOriginFails
	// WhileReloading: besides, while the loader runs, which the read starts and
	// does not wait for.
	WhileReloading
	// NeverFallBack: never, whatever the policy says.
	NeverFallBack
)

// spare is what a lookup passed over: the youngest copy that may serve as a
// fallback, and the youngest that a loader may compare with what the origin has.
// A nil spare takes none.
type spare struct {
	// softened and expired say which copies may serve; stale is for how long
	// after their expiry, in milliseconds.
	softened, expired bool
	stale             int64
	compare           bool

	entry  tiers.Entry
	source Source
	older  tiers.Entry
}

// spareFor returns the spare for a read whose options are resolved.
func spareFor(o ReadOptions) *spare {
	falls := o.Fallback == IfOriginFails || o.Fallback == WhileReloading
	if !falls && o.Load == nil {
		return nil
	}
	return &spare{
		softened: falls && (o.Level.Kind() != consistency.KindStrong || mutant.On(mutant.FallbackAtStrong)),
		expired:  falls && o.policy.MaxStale > 0,
		stale:    o.policy.MaxStale.Milliseconds(),
		compare:  o.Load != nil,
	}
}

// offer takes a copy of e for what it may serve.
func (s *spare) offer(p *partition, e tiers.Entry, now clock.Reading, key coherence.Fence, from Source) {
	if s == nil || e.Ended(now.Unix) || e.Ahead(now.Unix) || e.Flags()&tiers.FlagNegative != 0 {
		return
	}
	life := p.judge(e, key)
	if life == coherence.Dead && !mutant.On(mutant.FallbackUnjudged) {
		return
	}
	if s.compare && (s.older == nil || s.older.Birth() < e.Birth()) {
		s.older = append(s.older[:0], e...)
	}
	switch {
	case s.has() && s.entry.Birth() >= e.Birth():
	case life != coherence.Alive && !s.softened:
	case e.Expired(now.Unix) && !(s.expired && (now.Unix-e.ExpiryMilli() < s.stale || mutant.On(mutant.FallbackOutlastsItsAge))):
	case life == coherence.Alive && !e.Expired(now.Unix): // it came back to life: the next look finds it
	default:
		s.entry, s.source = append(s.entry[:0], e...), from
	}
}

func (s *spare) has() bool { return s != nil && s.entry != nil }

// toCompare returns the copy that a loader may compare, nil if there is none.
func (s *spare) toCompare() tiers.Entry {
	if s == nil {
		return nil
	}
	return s.older
}

// fallBack answers with the spare, which was judged under a lease that held.
func (n *Node) fallBack(p *partition, s *spare) Result {
	n.stats.fallbacks.Add(1)
	p.served(nil, s.entry)
	return Result{Entry: s.entry, Source: s.source, Stale: !mutant.On(mutant.FallbackUnmarked)}
}

// reload starts a load that nobody waits for, unless one is running, or the
// last one failed a moment ago.
func (n *Node) reload(ctx context.Context, p *partition, key string, fence coherence.Fence, o ReadOptions) {
	if o.Load == nil || p.resting(key) || p.bypassing.Load() > 0 && p.bypassed(key) {
		return
	}
	if f, mine := p.board(key, fence, o); mine {
		n.fly(ctx, p, key, f, fence, o)
	}
}

// failSafe answers a read whose load failed, or took too long. The copy is
// looked for anew: what a hard fence has killed meanwhile is no fallback, and the
// lease must hold now (P29, P44).
func (n *Node) failSafe(ctx context.Context, p *partition, key string, o ReadOptions, cause error) (Result, bool) {
	if errors.Is(cause, ErrNotFound) {
		return Result{}, false // the origin did not fail
	}
	lease := p.note()
	spare := spareFor(o)
	r, ok, _ := n.lookup(ctx, p, key, nil, &o, spare)
	if !p.still(lease, o.Level) {
		return Result{}, false
	}
	switch {
	case ok && r.Entry.Flags()&tiers.FlagNegative == 0:
		p.served(nil, r.Entry)
		return r, true
	case spare.has():
		return n.fallBack(p, spare), true
	}
	return Result{}, false
}
