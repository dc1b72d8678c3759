package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// joinTries bounds how often a reader whose joined load turned out to be too
// old joins another one before it loads on its own.
const joinTries = 2

// load asks the origin, once for all readers of this process who may share the
// answer. A reader who has a fallback waits until the load has run for soft.
func (n *Node) load(ctx context.Context, p *partition, key string, fence coherence.Fence, o ReadOptions, soft time.Duration) (Result, error) {
	if scopeOf(ctx).loads(key) {
		return Result{}, &Error{Op: "load", Key: key, Err: ErrCycle}
	}
	if p.bypassing.Load() > 0 && p.bypassed(key) {
		return n.bypass(ctx, p, key, o)
	}
	since := p.flights.count()
	for range joinTries {
		f, mine := p.board(key, fence, o)
		if mine {
			n.fly(ctx, p, key, f, fence, o)
		} else {
			n.stats.joined.Add(1)
		}
		if err := n.landing(ctx, f, soft); err != nil {
			return Result{}, &Error{Op: "load", Key: key, Err: err}
		}
		if mine || p.joinable(f, o.Level, since) && f.since >= p.need(f.epoch, fence, o.Level) {
			return n.landed(ctx, p, key, f)
		}
	}
	return n.bypass(ctx, p, key, o)
}

func (p *partition) bypassed(key string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.world.Bypass(key, nil)
}

// fly runs the load in a goroutine of its own: it goes on for those who joined
// when the reader who started it gives up. Where other nodes may be loading the
// key too it takes its turn, and their answer if they have one.
func (n *Node) fly(ctx context.Context, p *partition, key string, f *flight, fence coherence.Fence, o ReadOptions) {
	scope := p.scope(ctx, key, f.birth, o.Level)
	scope.unknown = scope.unknown || o.inVain
	scope.older = o.older
	err := n.takeOff(func() {
		h, answered := n.askTurn(p, key, f, fence, o).await(ctx)
		if answered {
			p.flights.land(key, f)
			return
		}
		ctx, cancel := n.loadContext(ctx)
		defer cancel()
		kept, stored := false, false
		l, err := n.askSourced(ctx, scope, o.Load)
		if err == nil {
			kept, err = n.keep(p, f, scope, key, l)
		}
		f.err = err
		p.rest(key, f)
		p.flights.land(key, f)
		if kept {
			stored = n.pass(ctx, p, f)
		}
		h.finish(f, kept, stored)
	})
	if err != nil {
		f.err = err
		p.flights.land(key, f)
	}
}

// loadContext is the reader's context without its end, but with the load's own
// deadline and the node's stop.
func (n *Node) loadContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.cfg.LoadTimeout)
	stop := context.AfterFunc(n.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// ask calls the loader under admission control. A loader that panics fails its
// readers, not the process.
func (n *Node) ask(ctx context.Context, key string, load Loader) (l Loaded, err error) {
	err = n.atOrigin(ctx, key, func(ctx context.Context) error {
		scopeOf(ctx).recheck()
		if l, err = load(ctx, key); err != nil {
			return err
		}
		if l, err = scopeOf(ctx).resolve(l); err != nil {
			return err
		}
		return n.checkLoaded(key, l)
	})
	return l, err
}

// atOrigin runs call under admission control.
func (n *Node) atOrigin(ctx context.Context, what string, call func(context.Context) error) error {
	return n.gate.Do(ctx, func(ctx context.Context) (err error) {
		n.stats.loads.Add(1)
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("loader of %q panicked: %v", what, r)
			}
			if err != nil {
				n.stats.loadErrors.Add(1)
			}
		}()
		return call(ctx)
	})
}

// keep makes the flight's entry of what was loaded, stores it in this process
// where that is allowed, and reports whether it was.
func (n *Node) keep(p *partition, f *flight, scope *loadScope, key string, l Loaded) (bool, error) {
	birth, tags, foreign, nested := scope.close(l.Tags)
	f.nested, f.stale = nested, scope.isStale()
	if mutant.On(mutant.BirthAfterLoad) {
		birth = events.Position(p.applied.Load())
	}
	if scope.unmodified && mutant.On(mutant.NotModifiedRenewsBirth) {
		birth = events.Position(p.applied.Load())
	}
	h := n.header(f.policy, key, n.ttlOf(f.policy, l), tags, l.Codec, l.Version, l.Flags)
	h.Epoch, h.Birth, h.Validator = f.epoch, birth, l.Validator
	e, err := tiers.Append(make([]byte, 0, tiers.EncodedLen(&h, len(l.Payload))), &h, l.Payload)
	if err != nil {
		f.private = true
		return false, err
	}
	f.entry = e
	if f.private = foreign || l.NoStore || f.epoch == 0; f.private {
		return false, nil
	}
	return n.fill(p, e, f.policy, f.skip), nil
}

// fill puts a copy into the tiers of this process, each of which checks it
// against the fences that arrived since its birth, in the same moment in which
// it stores it (P23, P24). It reports whether the copy may be kept at all.
func (n *Node) fill(p *partition, e tiers.Entry, pol *Policy, skip Skip) bool {
	if !p.mayKeep(e) {
		n.stats.fillsRefused.Add(1)
		return false
	}
	now := n.clock.Now().Unix
	if !skip.has(SkipMemoryWrite) {
		if err := n.memory.Put(ending(e, now, pol.MemoryTTL)); errors.Is(err, tiers.ErrOutdated) {
			n.stats.fillsRefused.Add(1)
			return false
		}
	}
	if !skip.has(SkipDiskWrite) {
		p.fillDisk(ending(e, now, pol.DiskTTL))
	}
	return true
}

// pass hands what a load has yielded on to the key's owners and to L2, and
// reports whether it lies there.
func (n *Node) pass(ctx context.Context, p *partition, f *flight) bool {
	if !f.skip.has(SkipOwnersWrite) {
		n.replicate(p, f.entry)
	}
	if f.skip.has(SkipSharedWrite) {
		return false
	}
	return n.keeper.share(ctx, p, ending(f.entry, n.clock.Now().Unix, f.policy.SharedTTL))
}

// mayKeep judges a copy by everything but its key's fence, which the tiers
// check themselves.
func (p *partition) mayKeep(e tiers.Entry) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.world.Judge(copyOf(e), coherence.Fence{}) == coherence.Alive || mutant.On(mutant.NoBroadCheckAtInsert)
}

func (p *partition) fillDisk(e tiers.Entry) {
	if p.blind.Load() {
		return
	}
	p.filled(p.n.disk.Fill(p.index, e, func(f tiers.Fence) bool { return p.mayLie(e, f) }))
}

// filled takes the disk's answer to a fill. A disk that is behind is not lost:
// the copy is not kept, that is all.
func (p *partition) filled(err error) {
	switch {
	case errors.Is(err, tiers.ErrStalled):
		p.n.stats.notKept.Add(1)
	case errors.Is(err, tiers.ErrUnavailable):
		p.loseDisk(err)
	}
}

// mayLie judges a copy that is about to lie on disk beside f.
func (p *partition) mayLie(e tiers.Entry, f tiers.Fence) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.world.Judge(copyOf(e), fenceOf(f.Hard, f.Soft)) == coherence.Alive || mutant.On(mutant.NoBroadCheckAtInsert)
}

// landed hands the load's result to a reader.
func (n *Node) landed(ctx context.Context, p *partition, key string, f *flight) (Result, error) {
	if s := scopeOf(ctx); s != nil {
		if f.stale {
			s.sawStale()
		}
		if f.entry != nil && !f.private {
			s.saw(p, f.entry)
		} else {
			s.sawUncached()
		}
	}
	if f.err != nil {
		return Result{}, &Error{Op: "load", Key: key, Err: f.err}
	}
	r := Result{Entry: append(tiers.Entry(nil), f.entry...), Source: f.source, Stale: f.stale}
	if uint64(r.Entry.Birth()) > p.applied.Load() {
		p.sawAhead(r.Entry) // another node's
	}
	if r.Entry.Flags()&tiers.FlagNegative != 0 {
		return r, &Error{Op: "load", Key: key, Err: ErrNotFound}
	}
	return r, nil
}

// bypass loads past the cache: nothing is kept, nobody joins (H7, H8).
func (n *Node) bypass(ctx context.Context, p *partition, key string, o ReadOptions) (Result, error) {
	n.stats.bypasses.Add(1)
	if s := scopeOf(ctx); s != nil {
		s.sawUncached()
	}
	loading, cancel := context.WithTimeout(ctx, n.cfg.LoadTimeout)
	defer cancel()
	scope := p.scope(ctx, key, 0, o.Level)
	scope.unknown = scope.unknown || o.inVain
	l, err := n.askPatiently(loading, scope, o)
	if err != nil {
		return Result{}, &Error{Op: "load", Key: key, Err: err}
	}
	h := n.header(o.policy, key, n.ttlOf(o.policy, l), l.Tags, l.Codec, l.Version, l.Flags)
	e, err := tiers.Append(nil, &h, l.Payload)
	if err != nil {
		return Result{}, &Error{Op: "load", Key: key, Err: err}
	}
	r := Result{Entry: e, Source: FromOrigin, Stale: scope.isStale()}
	if s := scopeOf(ctx); s != nil && r.Stale {
		s.sawStale()
	}
	if h.Flags&tiers.FlagNegative != 0 {
		return r, &Error{Op: "load", Key: key, Err: ErrNotFound}
	}
	return r, nil
}

// header makes an entry's header, without birth and epoch.
func (n *Node) header(pol *Policy, key string, ttl time.Duration, tags []string, codec tiers.Codec, v events.Version, flags tiers.Flags) tiers.Header {
	h := tiers.Header{
		Key: key, Created: time.UnixMilli(n.clock.Now().Unix), Version: v, Tags: tags, Flags: flags, Codec: codec,
	}
	pol.life(&h, ttl, n.cfg.Settings.MaxTTL, rand.Float64())
	return h
}

// keeper carries copies to the disk behind the readers' backs, and lets them
// gather: written one by one they would cost the machine more than the trip to
// Redis that brought them. Its queue is bounded: what does not fit is not
// kept, and may be fetched again.
type keeper struct {
	queue chan keeping
}

type keeping struct {
	p *partition
	e tiers.Entry
}

const (
	keeperQueue = 4096
	// keeperPause is how long the first copy waits for others; the queue holds
	// what a million reads a second bring meanwhile.
	keeperPause = 4 * time.Millisecond
)

func (k *keeper) init() { k.queue = make(chan keeping, keeperQueue) }

// keep queues e, which it copies, for the disk.
func (k *keeper) keep(p *partition, e tiers.Entry) {
	if p.blind.Load() {
		return
	}
	select {
	case k.queue <- keeping{p: p, e: append(tiers.Entry(nil), e...)}:
	default:
		p.n.stats.notKept.Add(1)
	}
}

func (k *keeper) run(ctx context.Context) error {
	gathered := make(map[*partition][]tiers.Entry)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-k.queue:
			gathered[c.p] = append(gathered[c.p], c.e)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(keeperPause):
		}
		for range len(k.queue) {
			c := <-k.queue
			gathered[c.p] = append(gathered[c.p], c.e)
		}
		for p, es := range gathered {
			delete(gathered, p)
			if p.blind.Load() {
				continue
			}
			p.filled(p.n.disk.FillAll(p.index, es, p.mayLie))
		}
	}
}

// share puts a copy into L2, and reports whether it lies there.
func (k *keeper) share(ctx context.Context, p *partition, e tiers.Entry) bool {
	n := p.n
	if n.shared == nil {
		return false
	}
	// A copy that outlives the record it was born behind, in a log that lost
	// its tail, would pass for one of the new history (H5).
	if err := p.testify(ctx, e.Epoch(), e.Birth()); err != nil && !mutant.On(mutant.CopiesOutrunWitness) {
		n.stats.notKept.Add(1)
		return false
	}
	err := n.shared.Put(ctx, e)
	if errors.Is(err, tiers.ErrUnavailable) {
		n.stats.sharedErrors.Add(1)
	}
	return err == nil
}
