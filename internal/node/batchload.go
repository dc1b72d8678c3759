package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
)

// loadRest loads what no tier had: each key joins the load of it that runs, if
// it may, in this process or in another; all others make one call of the loader,
// whose births are taken before it.
func (b *batch) loadRest(ctx context.Context) {
	b.began = b.n.clock.Waiter()
	rest := b.rest(ctx)
	for try := 0; len(rest) > 0; try++ {
		var mine []*want
		for _, w := range rest {
			b.board(ctx, w, try)
			if w.mine {
				mine = append(mine, w)
			} else {
				b.n.stats.joined.Add(1)
			}
		}
		if len(mine) > 0 {
			b.n.flyMany(ctx, mine, b.one, b.load)
		}
		rest = b.land(ctx, rest)
	}
}

// rest returns the keys that are to be loaded, and answers those that are not.
func (b *batch) rest(ctx context.Context) (rest []*want) {
	var reloads []*want
	for _, w := range b.wanted {
		switch {
		case w.done:
		case w.spare.has() && b.load == nil:
			w.answer(b.n.fallBack(w.p, w.spare), nil)
		case b.load == nil:
			b.n.stats.misses.Add(1)
			w.fail("get", ErrNotFound)
		case scopeOf(ctx).loads(w.Key):
			w.fail("load", ErrCycle)
		case w.spare.has() && (w.o.Fallback == WhileReloading || w.p.resting(w.Key)):
			w.answer(b.n.fallBack(w.p, w.spare), nil)
			if w.p.resting(w.Key) {
				continue
			}
			if b.board(ctx, w, 0); w.mine {
				reloads = append(reloads, w)
			}
		default:
			w.since = w.p.flights.count()
			rest = append(rest, w)
		}
	}
	if len(reloads) > 0 {
		b.n.flyMany(ctx, reloads, b.one, b.load) // nobody waits for them
	}
	return rest
}

// board finds a running load that w may join, or books one.
func (b *batch) board(ctx context.Context, w *want, try int) {
	p := w.p
	if w.past || try >= joinTries || p.bypassing.Load() > 0 && p.bypassed(w.Key) {
		// Past the cache: of no epoch, so that it is neither kept nor joined.
		b.n.stats.bypasses.Add(1)
		w.flight, w.mine = &flight{source: FromOrigin, done: make(chan struct{}), policy: w.o.policy, began: b.n.clock.Waiter()}, true
	} else {
		w.flight, w.mine = p.board(w.Key, w.fence, w.o)
	}
	if w.mine {
		w.scope = p.scope(ctx, w.Key, w.flight.birth, b.one.Level)
		w.scope.unknown = w.scope.unknown || w.past || w.inVain
	}
}

// land waits for the loads and returns the wants whose joined load turned out to
// be too old for them.
func (b *batch) land(ctx context.Context, ws []*want) (again []*want) {
	for _, w := range ws {
		if !b.await(ctx, w) {
			continue
		}
		if f := w.flight; !w.mine && (!w.p.joinable(f, b.one.Level, w.since) || f.since < w.p.need(f.epoch, w.fence, b.one.Level)) {
			again = append(again, w)
			continue
		}
		r, err := b.n.landed(ctx, w.p, w.Key, w.flight)
		if err == nil {
			w.answer(r, nil)
		} else {
			b.failed(ctx, w, r, err)
		}
	}
	return again
}

// failed answers a key whose load did not.
func (b *batch) failed(ctx context.Context, w *want, r Result, err error) {
	if w.spare.has() {
		if spare, ok := b.n.failSafe(ctx, w.p, w.Key, w.o, err); ok {
			r, err = spare, nil
		}
	}
	w.answer(r, err)
}

// await waits for w's load, for as long as a reader of w waits, and reports
// whether it has landed; if not, w is answered.
func (b *batch) await(ctx context.Context, w *want) bool {
	waiting, cancel := w.o.patientSince(ctx, time.Duration(b.n.clock.Waiter()-b.began))
	defer cancel()
	soft := time.Duration(0)
	if w.spare.has() {
		soft = w.o.policy.SoftTimeout
	}
	err := b.n.landing(waiting, w.flight, soft)
	if errors.Is(err, errImpatient) {
		if r, ok := b.n.failSafe(ctx, w.p, w.Key, w.o, err); ok {
			w.answer(r, nil)
			return false
		}
		err = b.n.landing(waiting, w.flight, 0) // the fallback has died meanwhile
	}
	if err != nil {
		b.failed(ctx, w, Result{}, &Error{Op: "load", Key: w.Key, Err: err})
	}
	return err == nil
}

// flyMany runs the loads of several keys in a goroutine of their own.
func (n *Node) flyMany(ctx context.Context, ws []*want, one ReadOptions, load BatchLoader) {
	if err := n.takeOff(func() { n.loadInTurns(ctx, ws, one, load) }); err != nil {
		for _, w := range ws {
			w.flight.err = err
			w.p.flights.land(w.Key, w.flight)
		}
	}
}

// together calls f with 0 to n-1, a few at a time.
func together(n int, f func(i int)) {
	const atOnce = 16
	var all sync.WaitGroup
	for from := range min(atOnce, n) {
		all.Go(func() {
			for i := from; i < n; i += atOnce {
				f(i)
			}
		})
	}
	all.Wait()
}

// askMany is askSourced for several keys: the loader is told the latest of the
// positions that they require.
func (n *Node) askMany(ctx context.Context, lead *loadScope, keys []string, load BatchLoader) (loaded map[string]Loaded, err error) {
	for try := range sourceTries {
		err = n.atOrigin(ctx, fmt.Sprintf("%d keys", len(keys)), func(ctx context.Context) error {
			if loaded, err = load(lead.into(ctx), slices.Clone(keys)); err != nil {
				return err
			}
			for key, l := range loaded {
				if err := n.checkLoaded(key, l); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || lead.satisfiedBy(loaded, try == sourceTries-1) {
			break
		}
	}
	return loaded, err
}

// require raises what the loader is told, which it has not been called with yet.
func (s *loadScope) require(need string) {
	if coherence.CompareSources(need, s.need) >= 0 && need != "" {
		s.need = need
	}
}

// satisfiedBy is satisfied for a batch. At the last try, what still may lack a
// change is marked as not to be kept.
func (s *loadScope) satisfiedBy(loaded map[string]Loaded, last bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := true
	for _, one := range s.each {
		l, ok := loaded[one.key]
		if !ok {
			continue
		}
		one.mu.Lock()
		one.need, one.asked = s.need, s.asked
		one.mu.Unlock()
		if one.satisfied(l.Tags) {
			continue
		}
		all = false
		s.require(one.need)
		if last {
			l.NoStore = true
			loaded[one.key] = l
		}
	}
	return all
}
