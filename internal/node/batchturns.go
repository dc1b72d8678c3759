package node

import (
	"context"
	"sync"

	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/turn"
)

// Keys that miss together take their turns together, in one trip to Redis, and
// what is granted is loaded by one call. What other nodes load is waited for
// beside that: a node that holds turns waits for nobody else's before it loads
// what is its own, or two batches that overlap could wait for each other.

// loadInTurns runs the loads that this node has booked, until each has landed.
func (n *Node) loadInTurns(ctx context.Context, ws []*want, one ReadOptions, load BatchLoader) {
	asks := n.askTurns(ctx, ws, one)
	var mine []*want
	var waiting int
	var waiters sync.WaitGroup
	ours := make(chan *want, len(ws)) // nil: another node's load has answered
	for i, w := range ws {
		settle := func() bool {
			h, answered := asks[i].await(ctx)
			if w.turn = h; answered {
				w.p.flights.land(w.Key, w.flight)
			}
			return answered
		}
		switch q := asks[i]; {
		case q == nil:
			mine = append(mine, w)
		case q.first != nil && q.first.Granted: // there is nothing to wait for
			if !settle() {
				mine = append(mine, w)
			}
		default:
			waiting++
			waiters.Go(func() {
				if settle() {
					ours <- nil
				} else {
					ours <- w
				}
			})
		}
	}
	if mutant.On(mutant.BatchWaitsFirst) {
		waiters.Wait()
	}
	n.loadTogether(ctx, mine, load)
	for waiting > 0 {
		// Those that nobody else has answered, and what became so meanwhile.
		mine = mine[:0]
		for first := true; waiting > 0 && (first || len(ours) > 0); first = false {
			if w := <-ours; w != nil {
				mine = append(mine, w)
			}
			waiting--
		}
		n.loadTogether(ctx, mine, load)
	}
	waiters.Wait()
}

// askTurns makes the first request of each load, all of them at once. A load
// that takes no turn has none.
func (n *Node) askTurns(ctx context.Context, ws []*want, one ReadOptions) []*asking {
	asks := make([]*asking, len(ws))
	if mutant.On(mutant.BatchTakesNoTurns) {
		return asks
	}
	var all []*asking
	for i, w := range ws {
		o := one
		o.inVain = w.inVain || w.past
		if asks[i] = n.askTurn(w.p, w.Key, w.flight, w.fence, o); asks[i] != nil {
			all = append(all, asks[i])
		}
	}
	ctx, cancel := n.loadContext(ctx)
	defer cancel()
	left := all
	if n.turns.shared != nil && len(all) > 0 {
		rs := make([]turn.Request, len(all))
		for i, q := range all {
			q.h.inShared = true
			rs[i] = q.r
		}
		left = nil
		for i, t := range n.turns.shared.TakeMany(ctx, rs) {
			if q := all[i]; t.Err == nil {
				q.first, q.h.byShared = &t, true
			} else {
				left = append(left, q)
			}
		}
	}
	together(len(left), func(i int) {
		q := left[i]
		q.h.atOwner = true
		reply, err := n.askOwner(ctx, q.p, TurnRequest{Op: TakeTurn, Request: q.r})
		q.first = &turn.Taken{Answer: reply.Answer, Err: err}
	})
	return asks
}

// loadTogether makes one call of the loader for all of ws, and gives their turns
// back.
func (n *Node) loadTogether(ctx context.Context, ws []*want, load BatchLoader) {
	if len(ws) == 0 {
		return
	}
	lead := &loadScope{outer: scopeOf(ctx), level: ws[0].scope.level}
	keys := make([]string, len(ws))
	for i, w := range ws {
		keys[i] = w.Key
		lead.each = append(lead.each, w.scope)
		lead.require(w.scope.need)
		lead.unknown = lead.unknown || w.scope.unknown
	}
	ctx, cancel := n.loadContext(ctx)
	defer cancel()
	loaded, err := n.askMany(ctx, lead, keys, load)
	kept := make([]bool, len(ws))
	for i, w := range ws {
		f := w.flight
		l, ok := loaded[w.Key]
		switch {
		case err != nil:
			f.err = err
		case !ok:
			f.err = ErrNotFound
		default:
			kept[i], f.err = n.keep(w.p, f, w.scope, w.Key, l)
		}
		w.p.rest(w.Key, f)
		w.p.flights.land(w.Key, f)
	}
	// So many at once that what goes to Redis can gather.
	together(len(ws), func(i int) {
		w, stored := ws[i], false
		if kept[i] {
			stored = n.pass(ctx, w.p, w.flight)
		}
		w.turn.finish(w.flight, kept[i], stored)
	})
}
