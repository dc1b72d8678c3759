package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/mutant"
)

// miss answers a read that no tier could.
func (n *Node) miss(ctx context.Context, p *partition, key string, fence coherence.Fence, o ReadOptions, spare *spare) (Result, error) {
	o.older = spare.toCompare()
	if spare.has() && (o.Load == nil || o.Fallback == WhileReloading || p.resting(key)) {
		n.reload(ctx, p, key, fence, o)
		return n.fallBack(p, spare), nil
	}
	if o.Load == nil {
		n.stats.misses.Add(1)
		return Result{}, &Error{Op: "get", Key: key, Err: ErrNotFound}
	}
	waiting, cancel := o.patient(ctx)
	defer cancel()
	if spare.has() {
		r, err := n.load(waiting, p, key, fence, o, o.policy.SoftTimeout)
		if err == nil {
			return r, nil
		}
		if r, ok := n.failSafe(ctx, p, key, o, err); ok {
			return r, nil
		}
		if !errors.Is(err, errImpatient) {
			return r, err
		}
		// The fallback has died while the reader waited: it waits on, for the same
		// load or, if a fence demands it, for a later one.
	}
	return n.load(waiting, p, key, fence, o, 0)
}

// errImpatient ends the wait of a reader who has a fallback.
var errImpatient = errors.New("the load takes longer than the soft timeout")

// patient returns ctx with the end of the reader's patience.
func (o *ReadOptions) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return o.patientSince(ctx, 0)
}

// patientSince is patient for a reader who has waited already.
func (o *ReadOptions) patientSince(ctx context.Context, waited time.Duration) (context.Context, context.CancelFunc) {
	if o.policy.HardTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, o.policy.HardTimeout-waited, ErrOriginSlow)
}

// over returns why ctx is done: [ErrOriginSlow] if that was the reader's
// patience, which its own context outlives.
func over(ctx context.Context) error {
	if context.Cause(ctx) == ErrOriginSlow {
		return ErrOriginSlow
	}
	return ctx.Err()
}

// landing waits until f has landed, ctx is done, or f has run for soft, if that
// is not 0.
func (n *Node) landing(ctx context.Context, f *flight, soft time.Duration) error {
	var late <-chan time.Time
	if soft > 0 {
		t := time.NewTimer(soft - time.Duration(n.clock.Waiter()-f.began))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-f.done:
		return nil
	case <-late:
		n.stats.slow.Add(1)
		return errImpatient
	case <-ctx.Done():
		if err := over(ctx); err != ErrOriginSlow {
			return err
		}
		n.stats.slow.Add(1)
		return ErrOriginSlow
	}
}

// rests are the keys whose origin has failed a moment ago. Who has a fallback
// leaves it alone until then. That is no knowledge that anything rests on: what
// finds no room is asked for again.
type rests struct {
	mu    sync.Mutex
	until map[string]int64 // in waiter time
}

// mostResting bounds the keys of one partition that rest.
const mostResting = 4096

// eagerRest is the least time between two background loads of a key where the
// first has failed: every read would begin another.
const eagerRest = time.Second

// resting reports whether a load of key has failed too short ago.
func (p *partition) resting(key string) bool {
	p.rests.mu.Lock()
	defer p.rests.mu.Unlock()
	return p.rests.until[key] > p.n.clock.Waiter() && !mutant.On(mutant.OriginNotThrottled)
}

// rest notes how the load of key has ended.
func (p *partition) rest(key string, f *flight) {
	r := &p.rests
	if f.err == nil || errors.Is(f.err, ErrNotFound) {
		r.mu.Lock()
		delete(r.until, key)
		r.mu.Unlock()
		return
	}
	d := f.policy.Throttle
	if f.refresh {
		d = max(d, eagerRest)
	}
	if d <= 0 {
		return
	}
	now := p.n.clock.Waiter()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) >= mostResting {
		for key, until := range r.until {
			if until <= now {
				delete(r.until, key)
			}
		}
	}
	if r.until == nil {
		r.until = make(map[string]int64)
	}
	if len(r.until) < mostResting {
		r.until[key] = now + int64(d)
	}
}

// askPatiently is askSourced for a load that nobody joins and that is not kept:
// nobody misses its answer once its reader's patience has ended.
func (n *Node) askPatiently(ctx context.Context, s *loadScope, o ReadOptions) (Loaded, error) {
	if o.policy.HardTimeout <= 0 {
		return n.askSourced(ctx, s, o.Load)
	}
	type answer struct {
		l   Loaded
		err error
	}
	answered := make(chan answer, 1)
	if !n.crew.Go(func() {
		l, err := n.askSourced(ctx, s, o.Load)
		answered <- answer{l, err}
	}) {
		return Loaded{}, ErrNotServing
	}
	select {
	case a := <-answered:
		if a.err != nil && context.Cause(ctx) == ErrOriginSlow {
			a.err = ErrOriginSlow
		}
		return a.l, a.err
	case <-ctx.Done():
		return Loaded{}, over(ctx)
	}
}
