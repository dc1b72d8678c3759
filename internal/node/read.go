package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Get answers a read. The entry lies in dst if its capacity suffices, and then
// a hit in memory allocates nothing.
//
// Errors: [ErrNotFound] if nobody has the value, [ErrNotServing] if the node
// may not answer from its copies within the wait timeout and no loader was
// given, ctx's error, and what the loader returned.
func (n *Node) Get(ctx context.Context, key string, dst []byte, o ReadOptions) (Result, error) {
	p := n.of(key)
	scope := scopeOf(ctx)
	if scope != nil {
		o = scope.inherit(o)
	}
	claim := n.audit.claim(p)
	if inMemory(&o) {
		// Note the lease, take the value, check the same lease: the moment at
		// which the value was taken lies within it, however late we answer
		// (P44).
		lease := p.note()
		if e, ok := n.memory.Lookup(key, dst); ok {
			now := n.clock.Now()
			if mutant.On(mutant.OtherLeaseChecked) {
				lease = p.note()
			}
			if (uint64(e.Birth()) >= p.floor.Load() || mutant.On(mutant.NoBroadCheckAtRead)) &&
				(uint64(e.Epoch()) == p.epoch.Load() || mutant.On(mutant.EpochIgnored)) &&
				(now.Holder-lease.fresh < int64(o.Level.Bound(n.lease)) && p.lives(lease.life) || mutant.On(mutant.NoLease)) && !e.Due(now.Unix) && e.Flags()&tiers.FlagNegative == 0 && p.bypassing.Load() == 0 {
				p.served(scope, e)
				if claim.at != 0 {
					n.audit.take(p, claim, e)
				}
				if n.cfg.OnRead != nil {
					n.cfg.OnRead(key, e)
				}
				return Result{Entry: e, Source: FromMemory}, nil
			}
			o.again = !e.Ended(now.Unix)
			n.stats.memoryRejected.Add(1)
		}
	}
	r, err := n.get(ctx, p, key, dst, o)
	if claim.at != 0 && err == nil && !r.Stale && r.Source != FromOrigin {
		n.audit.take(p, claim, r.Entry)
	}
	if n.cfg.OnRead != nil {
		n.cfg.OnRead(key, r.Entry)
	}
	return r, err
}

// inMemory reports whether Get looks into memory first, before it has decided
// whether the node is fresh enough.
func inMemory(o *ReadOptions) bool {
	k := o.Level.Kind()
	return (k == consistency.KindBounded || k == consistency.KindEventual) && o.Skip&SkipMemoryRead == 0
}

// served notes what follows from handing out a copy: the session has seen its
// birth, and the load that asked for it, if s is one, is made of it.
func (p *partition) served(s *loadScope, e tiers.Entry) {
	if uint64(e.Birth()) > p.applied.Load() {
		p.sawAhead(e)
	}
	if s != nil {
		s.saw(p, e)
	}
}

// get is the long way of Get: it waits for the freshness that the level
// demands, looks into every tier, and loads.
func (n *Node) get(ctx context.Context, p *partition, key string, dst []byte, o ReadOptions) (Result, error) {
	if err := events.ValidateKey(key); err != nil {
		return Result{}, &Error{Op: "get", Err: err}
	}
	o = n.policies.resolve(key, o)
	f := consistency.Facts{Lease: n.lease, Policy: n.cfg.Settings.Policy}
	spare := spareFor(o)
	var wait context.Context
	var moved <-chan struct{} // nil at the first look, which needs no wait as a rule
	for ; ; moved = p.waiters.next() {
		lease := p.note()
		p.facts(&f, o.Level, lease.fresh)
		v := consistency.Decide(o.Level, p.index, f)
		switch v {
		case consistency.Serve, consistency.ServeStale:
			var r Result
			var ok bool
			var fence coherence.Fence
			if moved == nil && inMemory(&o) && !o.again {
				r, ok, fence = n.lookFurther(ctx, p, key, dst, &o, spare)
			} else {
				r, ok, fence = n.lookup(ctx, p, key, dst, &o, spare)
			}
			if v == consistency.Serve && !p.still(lease, o.Level) {
				continue // the lease ended while we looked: decide again
			}
			if !ok {
				o.inVain = v == consistency.ServeStale
				return n.miss(ctx, p, key, fence, o, spare)
			}
			p.served(scopeOf(ctx), r.Entry)
			r.Stale = v == consistency.ServeStale && !mutant.On(mutant.UnmarkedStale)
			if s := scopeOf(ctx); s != nil && r.Stale {
				s.sawStale()
			}
			if v == consistency.Serve {
				n.due(ctx, p, fence, r.Entry, n.clock.Now(), o)
			}
			if r.Entry.Flags()&tiers.FlagNegative != 0 {
				return r, &Error{Op: "get", Key: key, Err: ErrNotFound}
			}
			return r, nil
		case consistency.Pulse:
			if f.Asked == 0 || f.Pulsed >= f.Asked {
				f.Asked = p.pulses.ask()
			}
		}
		if moved == nil {
			continue // look again, now that no move can be missed
		}
		if wait == nil {
			var cancel context.CancelFunc
			wait, cancel = context.WithTimeout(ctx, p.patience(o.Level))
			defer cancel()
		}
		if v == consistency.Pulse {
			p.lead(wait)
		}
		select {
		case <-moved:
		case <-wait.Done():
			return n.tooLate(ctx, p, key, o)
		case <-n.stopped:
			return Result{}, &Error{Op: "get", Key: key, Err: fmt.Errorf("%w: it has stopped", ErrNotServing)}
		}
	}
}

// facts fills in what the decision about a read rests on.
func (p *partition) facts(f *consistency.Facts, l consistency.Level, fresh int64) {
	f.Age = time.Duration(p.n.clock.Now().Holder - fresh)
	f.Pulsed = p.pulses.count()
	if l.Kind() == consistency.KindSession {
		p.mu.RLock()
		f.Epoch = p.world.Epoch()
		f.Left = p.world.WasEpoch(l.Token().At(p.index).Epoch)
		p.mu.RUnlock()
		f.Applied = events.Position(p.applied.Load())
	}
}

// noted is what a read notes before it looks for copies.
type noted struct {
	fresh int64
	life  uint64
}

// note returns the lease as it stands.
func (p *partition) note() noted {
	life := p.life.Load() // first, see restart
	return noted{fresh: p.fresh.Load(), life: life}
}

// still reports whether the lease that was noted holds now, and whether what was
// judged since then was judged by one who knew what the lease says.
//
// The interleaving that the life closes:
//  1. a read notes a lease that was extended at 120, and asks the shared tier;
//  2. the log loses its end; the partition drops everything and applies the log
//     anew, up to 90 so far;
//  3. the shared tier answers with a copy born at 88. Its fence stands at 105: alive,
//     by the world as it is. The lease, by the clock, holds.
func (p *partition) still(n noted, l consistency.Level) bool {
	return p.n.clock.Now().Holder-n.fresh < int64(l.Bound(p.n.lease)) && p.lives(n.life)
}

// lives reports whether the partition has not begun anew since life was noted.
func (p *partition) lives(life uint64) bool {
	return p.life.Load() == life || mutant.On(mutant.ReadOutlivesRestart)
}

// patience is how long a read waits. One that finds the node cut off for
// longer than the next pulses can explain fails at once: the caller is better
// served by an error than by a queue.
func (p *partition) patience(l consistency.Level) time.Duration {
	fresh := p.fresh.Load()
	if l.Kind() != consistency.KindStrong && l.Kind() != consistency.KindSession && fresh != never {
		if cutOff := time.Duration(p.n.clock.Now().Holder-fresh) - p.n.lease; cutOff > p.n.cfg.Settings.PulseInterval() {
			return 0
		}
	}
	return p.n.cfg.WaitTimeout
}

// tooLate ends a read whose wait was in vain: never from the cache (P53), but
// for the marked copies of a domain that prefers answers.
func (n *Node) tooLate(ctx context.Context, p *partition, key string, o ReadOptions) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, &Error{Op: "get", Key: key, Err: err}
	}
	n.stats.waitsTimedOut.Add(1)
	if mutant.On(mutant.LateReadsServeCache) {
		if r, ok, _ := n.lookup(ctx, p, key, nil, &o, nil); ok {
			return r, nil
		}
	}
	if n.cfg.Settings.Policy == events.PolicyServe && o.Level.Kind() == consistency.KindBounded {
		if r, ok, _ := n.lookup(ctx, p, key, nil, &o, nil); ok && r.Entry.Flags()&tiers.FlagNegative == 0 {
			if s := scopeOf(ctx); s != nil {
				s.sawStale()
			}
			r.Stale = true
			return r, nil
		}
	}
	if o.Load != nil {
		o.inVain = true
		waiting, cancel := o.patient(ctx)
		defer cancel()
		return n.bypass(waiting, p, key, o)
	}
	return Result{}, &Error{Op: "get", Key: key, Err: fmt.Errorf("%w at level %s", ErrNotServing, o.Level),
		Hint: "the log was not reached in time; check the connection to NATS, or ask at level eventual in a domain with policy serve"}
}

// lookup asks the tiers, nearest first, for a live copy. It returns the key's
// fence too, which a load must not be older than. What it passes over is
// offered to spare, which may be nil.
func (n *Node) lookup(ctx context.Context, p *partition, key string, dst []byte, o *ReadOptions, spare *spare) (Result, bool, coherence.Fence) {
	now := n.clock.Now()
	if e, ok := n.memory.Lookup(key, dst); ok && !o.Skip.has(SkipMemoryRead) {
		if p.servable(e, now, coherence.Fence{}) {
			return Result{Entry: e, Source: FromMemory}, true, coherence.Fence{}
		}
		spare.offer(p, e, now, coherence.Fence{}, FromMemory)
		dst = e[:0]
	}
	return n.lookFurther(ctx, p, key, dst, o, spare)
}

// lookFurther is lookup beyond memory.
func (n *Node) lookFurther(ctx context.Context, p *partition, key string, dst []byte, o *ReadOptions, spare *spare) (Result, bool, coherence.Fence) {
	now := n.clock.Now()
	fence, e := p.lookupDisk(key, dst)
	if e != nil && !o.Skip.has(SkipDiskRead) {
		if p.servable(e, now, fence) {
			if mutant.On(mutant.PromotionRaisesBirth) {
				e.Stamp(e.Epoch(), events.Position(p.applied.Load()))
			}
			if !o.Skip.has(SkipMemoryWrite) {
				_ = n.memory.Promote(ending(e, now.Unix, o.policy.MemoryTTL)) // refused: outdated or too large, and counted there
			}
			n.stats.diskHits.Add(1)
			return Result{Entry: e, Source: FromDisk}, true, fence
		}
		spare.offer(p, e, now, fence, FromDisk)
		dst = e[:0]
	}
	lost := false
	if n.shared != nil && !o.Skip.has(SkipSharedRead) {
		e, err := n.shared.Get(ctx, key, dst)
		lost = err == nil || errors.Is(err, tiers.ErrMiss)
		switch {
		case err == nil:
			if p.servable(e, now, fence) || mutant.On(mutant.SharedTrusted) {
				if mutant.On(mutant.PromotionRaisesBirth) {
					e.Stamp(e.Epoch(), events.Position(p.applied.Load()))
				}
				if !o.Skip.has(SkipMemoryWrite) {
					_ = n.memory.Put(ending(e, now.Unix, o.policy.MemoryTTL))
				}
				if rand.Uint32()%keepOneIn == 0 && !o.Skip.has(SkipDiskWrite) {
					n.keeper.keep(p, ending(e, now.Unix, o.policy.DiskTTL))
				}
				n.stats.sharedHits.Add(1)
				return Result{Entry: e, Source: FromShared}, true, fence
			}
			n.stats.sharedDead.Add(1)
			spare.offer(p, e, now, fence, FromShared)
		case errors.Is(err, tiers.ErrUnavailable):
			n.stats.sharedErrors.Add(1)
		}
	}
	if o.Skip.has(SkipOwnersRead) {
		return Result{}, false, fence
	}
	if e, ok := n.fetchOne(ctx, p, key, fence); ok {
		n.adopt(p, e, now.Unix, o)
		if lost && !o.Skip.has(SkipSharedWrite) {
			n.repair(p, ending(e, now.Unix, o.policy.SharedTTL))
		}
		return Result{Entry: e, Source: FromOwner}, true, fence
	}
	return Result{}, false, fence
}

// keepOneIn is how many hits in the shared tier bring one copy onto the disk.
// Writing it costs the machine half a trip to Redis, and what is asked for
// again and again gets there all the same.
const keepOneIn = 16

// servable reports whether e is alive and not expired. In memory the fence of
// the key has acted already, and the zero fence says so.
func (p *partition) servable(e tiers.Entry, now clock.Reading, fence coherence.Fence) bool {
	return !e.Expired(now.Unix) && !e.Ahead(now.Unix) && p.judge(e, fence) == coherence.Alive
}

func (p *partition) judge(e tiers.Entry, fence coherence.Fence) coherence.Life {
	if uint64(e.Epoch()) == p.epoch.Load() && (uint64(e.Birth()) >= p.floor.Load() || mutant.On(mutant.NoBroadCheckAtRead)) &&
		e.Birth() >= fence.Newest() && p.bypassing.Load() == 0 {
		return coherence.Alive
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.world.Judge(copyOf(e), fence)
}

func copyOf(e tiers.Entry) coherence.Copy {
	c := coherence.Copy{Key: e.Key(), Epoch: e.Epoch(), Birth: e.Birth()}
	if e.HasTags() {
		c.Tags = e.Tags()
	}
	return c
}

// lookupDisk returns the fence of the key and the copy on disk, nil if there
// is none. Where the fence can't be known, what the guard slots say takes its
// place.
func (p *partition) lookupDisk(key string, dst []byte) (coherence.Fence, tiers.Entry) {
	if p.blind.Load() {
		return p.guardFence(key), nil
	}
	f, e, err := p.n.disk.Lookup(key, dst)
	switch {
	case err == nil:
		return fenceOf(f.Hard, f.Soft), e
	case errors.Is(err, tiers.ErrUnavailable):
		p.loseDisk(err)
	default:
		p.n.stats.corrupt.Add(1)
	}
	return p.guardFence(key), nil
}

// guardFence is a fence at or above the key's real one: what the guard slots
// say, but at least the position before which they know nothing.
func (p *partition) guardFence(key string) coherence.Fence {
	at := max(p.n.memory.Guard(key), events.Position(p.guardSince.Load()))
	if mutant.On(mutant.GuardSinceIgnored) {
		at = p.n.memory.Guard(key)
	}
	return coherence.Fence{Hard: at, Soft: at}
}
