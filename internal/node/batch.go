package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// BatchOptions are [ReadOptions] for several keys.
type BatchOptions struct {
	Level consistency.Level
	// Load asks the origin for all keys that no tier has a live copy of, in one
	// call. Nil: they miss.
	Load     BatchLoader
	Fallback Fallback
	Policy   *Policy
	Skip     Skip
}

// BatchLoader asks the origin for keys, each of which is named once. What is
// said of a [Loader] holds for it too. A key that its answer lacks is not found,
// which is not kept; to keep that knowledge, answer with tiers.FlagNegative and
// tags of what would change it. An error fails all keys of the call.
type BatchLoader func(ctx context.Context, keys []string) (map[string]Loaded, error)

// Answer is what a batch read says of one key. Err is what [Node.Get] would
// have returned.
type Answer struct {
	Key string
	Result
	Err error
}

// GetMany answers a read of several keys, in their order: one look at each
// tier, nearest first, and one call of the loader for all that is left. Each
// key is judged for itself; the answers are no snapshot.
func (n *Node) GetMany(ctx context.Context, keys []string, o BatchOptions) []Answer {
	one := ReadOptions{Level: o.Level, Fallback: o.Fallback, Policy: o.Policy, Skip: o.Skip}
	if s := scopeOf(ctx); s != nil {
		one = s.inherit(one)
	}
	b := &batch{n: n, load: o.Load, one: one, wanted: make(map[string]*want, len(keys))}
	for _, key := range keys {
		if b.wanted[key] == nil {
			b.wanted[key] = &want{Answer: Answer{Key: key}, p: n.of(key), o: n.policies.resolve(key, one)}
		}
	}
	b.look(ctx)
	b.loadRest(ctx)
	answers := make([]Answer, len(keys))
	for i, key := range keys {
		w := b.wanted[key]
		answers[i] = w.Answer
		if w.given {
			answers[i].Entry = append(tiers.Entry(nil), w.Entry...) // named twice
		}
		w.given = true
		if n.cfg.OnRead != nil {
			n.cfg.OnRead(key, w.Entry)
		}
	}
	return answers
}

// batch is a read of several keys on its way.
type batch struct {
	n      *Node
	load   BatchLoader
	one    ReadOptions // without a loader
	wanted map[string]*want
	began  int64 // when it began to load, in waiter time
}

// want is one key of a batch.
type want struct {
	Answer
	p *partition
	o ReadOptions // resolved, without a loader
	// done: Answer stands. given: it was handed out once.
	done, given bool
	fence       coherence.Fence
	spare       *spare
	// past: to be loaded past the cache. inVain: see ReadOptions.
	past, inVain bool

	flight *flight
	mine   bool
	turn   *held // to load it; nil: none
	scope  *loadScope
	since  uint64
}

func (w *want) answer(r Result, err error) {
	w.Result, w.Err, w.done = r, err, true
}

// fail answers with an error of the key.
func (w *want) fail(op string, err error) { w.answer(Result{}, &Error{Op: op, Key: w.Key, Err: err}) }

// hit answers with a copy.
func (w *want) hit(ctx context.Context, r Result) {
	w.p.served(scopeOf(ctx), r.Entry)
	w.answer(r, nil)
	if r.Entry.Flags()&tiers.FlagNegative != 0 {
		w.Err = &Error{Op: "get", Key: w.Key, Err: ErrNotFound}
	}
}

// look asks the tiers for every key, one partition beside the other: their
// levels are waited for apart.
func (b *batch) look(ctx context.Context) {
	parts := make(map[*partition][]*want)
	for _, key := range slices.Sorted(maps.Keys(b.wanted)) { // in the disk's order
		w := b.wanted[key]
		if err := events.ValidateKey(key); err != nil {
			w.fail("get", err)
			continue
		}
		parts[w.p] = append(parts[w.p], w)
	}
	var all sync.WaitGroup
	for p, ws := range parts {
		if len(parts) == 1 {
			b.lookIn(ctx, p, ws)
			return
		}
		all.Go(func() { b.lookIn(ctx, p, ws) })
	}
	all.Wait()
}

// lookIn is the way of [Node.get] for the keys of one partition, up to the
// loads.
func (b *batch) lookIn(ctx context.Context, p *partition, ws []*want) {
	n := b.n
	f := consistency.Facts{Lease: n.lease, Policy: n.cfg.Settings.Policy}
	var wait context.Context
	for {
		moved := p.waiters.next()
		lease := p.note()
		p.facts(&f, b.one.Level, lease.fresh)
		v := consistency.Decide(b.one.Level, p.index, f)
		switch v {
		case consistency.Serve, consistency.ServeStale:
			found := b.lookup(ctx, p, ws)
			if v == consistency.Serve && !p.still(lease, b.one.Level) {
				continue // the lease ended while we looked: decide again
			}
			for i, r := range found {
				if r.Entry != nil {
					if r.Stale = v == consistency.ServeStale; r.Stale && scopeOf(ctx) != nil {
						scopeOf(ctx).sawStale()
					}
					ws[i].hit(ctx, r)
				}
				ws[i].inVain = v == consistency.ServeStale
			}
			return
		case consistency.Pulse:
			if f.Asked == 0 || f.Pulsed >= f.Asked {
				f.Asked = p.pulses.ask()
			}
		}
		if wait == nil {
			var cancel context.CancelFunc
			wait, cancel = context.WithTimeout(ctx, p.patience(b.one.Level))
			defer cancel()
		}
		if v == consistency.Pulse {
			p.lead(wait)
		}
		select {
		case <-moved:
		case <-wait.Done():
			b.tooLate(ctx, ws)
			return
		case <-n.stopped:
			for _, w := range ws {
				w.fail("get", fmt.Errorf("%w: it has stopped", ErrNotServing))
			}
			return
		}
	}
}

// tooLate sends keys whose wait was in vain to the origin, past the cache
// (P53).
func (b *batch) tooLate(ctx context.Context, ws []*want) {
	for _, w := range ws {
		switch {
		case ctx.Err() != nil:
			w.fail("get", ctx.Err())
		case b.load == nil:
			w.fail("get", fmt.Errorf("%w at level %s", ErrNotServing, b.one.Level))
		default:
			w.past = true
		}
	}
	b.n.stats.waitsTimedOut.Add(1)
}

// lookup asks the tiers, nearest first, for live copies, each tier once for all
// that is left. The answers stand where their wants do.
func (b *batch) lookup(ctx context.Context, p *partition, ws []*want) []Result {
	n, now := b.n, b.n.clock.Now()
	found := make([]Result, len(ws))
	var left []int
	for i, w := range ws {
		w.spare, w.fence = spareFor(w.o), coherence.Fence{}
		if e, ok := n.memory.Lookup(w.Key, nil); ok && !b.one.Skip.has(SkipMemoryRead) {
			if p.servable(e, now, w.fence) {
				found[i] = Result{Entry: e, Source: FromMemory}
				continue
			}
			w.spare.offer(p, e, now, w.fence, FromMemory)
		}
		left = append(left, i)
	}
	var further []int
	var keys []string
	for _, i := range left {
		w := ws[i]
		var e tiers.Entry
		if w.fence, e = p.lookupDisk(w.Key, nil); e != nil && !b.one.Skip.has(SkipDiskRead) {
			if p.servable(e, now, w.fence) {
				if !b.one.Skip.has(SkipMemoryWrite) {
					_ = n.memory.Promote(ending(e, now.Unix, w.o.policy.MemoryTTL)) // as with a single read
				}
				n.stats.diskHits.Add(1)
				found[i] = Result{Entry: e, Source: FromDisk}
				continue
			}
			w.spare.offer(p, e, now, w.fence, FromDisk)
		}
		further, keys = append(further, i), append(keys, w.Key)
	}
	lost := false
	var entries []tiers.Entry
	if n.shared != nil && len(keys) > 0 && !b.one.Skip.has(SkipSharedRead) {
		var err error
		if entries, err = tiers.GetMany(ctx, n.shared, keys); err != nil {
			n.stats.sharedErrors.Add(1)
		}
		lost = err == nil
	}
	for k, e := range entries {
		w := ws[further[k]]
		switch {
		case e == nil:
		case p.servable(e, now, w.fence):
			n.adopt(p, e, now.Unix, &w.o)
			n.stats.sharedHits.Add(1)
			found[further[k]] = Result{Entry: e, Source: FromShared}
		default:
			n.stats.sharedDead.Add(1)
			w.spare.offer(p, e, now, w.fence, FromShared)
		}
	}
	b.fromOwners(ctx, p, ws, found, lost)
	return found
}

// fromOwners asks the owners of what is not found yet, each of them once. What
// the shared tier has lost goes back there.
func (b *batch) fromOwners(ctx context.Context, p *partition, ws []*want, found []Result, lost bool) {
	n := b.n
	if n.replicas == nil || n.cfg.Replication <= 0 || b.one.Skip.has(SkipOwnersRead) {
		return
	}
	at := make(map[string]int)
	for i, r := range found {
		if r.Entry == nil {
			at[ws[i].Key] = i
		}
	}
	if len(at) == 0 {
		return
	}
	now := n.clock.Now()
	alive := func(e tiers.Entry) bool {
		i, asked := at[e.Key()]
		return asked && p.servable(e, now, ws[i].fence)
	}
	for _, e := range n.fetch(ctx, p, alive, slices.Sorted(maps.Keys(at))...) {
		o := &ws[at[e.Key()]].o
		n.adopt(p, e, now.Unix, o)
		if lost && !o.Skip.has(SkipSharedWrite) {
			n.repair(p, ending(e, now.Unix, o.policy.SharedTTL))
		}
		found[at[e.Key()]] = Result{Entry: e, Source: FromOwner}
	}
}
