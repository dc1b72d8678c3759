package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// flights are the loads of a partition that run now, one for each key that
// others may join.
type flights struct {
	mu sync.Mutex
	of map[string]*flight
}

func (f *flights) init() { f.of = make(map[string]*flight) }

// land lets f's readers go on, and nobody join it any more.
func (l *flights) land(key string, f *flight) {
	l.mu.Lock()
	if l.of[key] == f {
		delete(l.of, key)
	}
	l.mu.Unlock()
	close(f.done)
}

// flight is one load.
type flight struct {
	epoch events.Epoch
	// birth is the position that had been applied before the loader started.
	birth events.Position
	done  chan struct{} // closed when what follows is set

	// since is birth, or the birth of another node's load that has answered.
	since  events.Position
	source Source
	entry  tiers.Entry
	err    error
	// private: nobody may join the result, for it was read past the cache or
	// is made of what can't be judged.
	private bool
}

// joinTries bounds how often a reader whose joined load turned out to be too
// old joins another one before it loads on its own.
const joinTries = 2

// load asks the origin, once for all readers of this process who may share the
// answer.
func (n *Node) load(ctx context.Context, p *partition, key string, fence coherence.Fence, o ReadOptions) (Result, error) {
	for s := scopeOf(ctx); s != nil; s = s.outer {
		if s.key == key {
			return Result{}, &Error{Op: "load", Key: key, Err: ErrCycle}
		}
	}
	if p.bypassing.Load() > 0 && p.bypassed(key) && !mutant.On(mutant.BypassJoined) && !mutant.On(mutant.BypassKept) {
		return n.bypass(ctx, p, key, o)
	}
	for range joinTries {
		f, mine := p.board(key, fence, o)
		if mine {
			n.fly(ctx, p, key, f, fence, o)
		} else {
			n.stats.joined.Add(1)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return Result{}, &Error{Op: "load", Key: key, Err: ctx.Err()}
		}
		if mine || p.joinable(f) && f.since >= p.need(f.epoch, fence, o.Level) {
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

// board finds the running load that this reader may join, or books a new one,
// which others may join from now on.
//
// The interleaving that the birth closes:
//  1. reader A starts a load at birth 7 and its query runs;
//  2. a writer commits, and its fence of the key is applied at 8;
//  3. reader B misses. Joining A's load would hand it the value from before
//     the write that B's session may have made: A's birth 7 < fence 8, so B
//     books a load of its own.
func (p *partition) board(key string, fence coherence.Fence, o ReadOptions) (f *flight, mine bool) {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	p.mu.RLock()
	epoch, birth := p.world.Epoch(), p.world.Applied()
	p.mu.RUnlock()
	// The world may be ahead of what was published as applied, while L1 and
	// the disk still lack its fences; a birth must not be.
	birth = min(birth, events.Position(p.applied.Load()))
	if f := p.flights.of[key]; f != nil && f.epoch == epoch && p.mayJoin(f, key, fence, o) {
		return f, false
	}
	f = &flight{epoch: epoch, birth: birth, since: birth, source: FromOrigin, done: make(chan struct{})}
	p.flights.of[key] = f
	return f, true
}

// mayJoin reports whether a load that is running may answer a reader who asks
// now (P26, H8). Its tags are not known yet; joinable looks at them.
func (p *partition) mayJoin(f *flight, key string, fence coherence.Fence, o ReadOptions) bool {
	if f.birth < fence.Newest() && !mutant.On(mutant.JoinOldLoad) {
		return false
	}
	if t := o.Level.Token().At(p.index); t.Epoch == f.epoch && f.birth < t.Position && !mutant.On(mutant.JoinIgnoresToken) {
		return false
	}
	if time.Duration(p.n.clock.Now().Holder-p.fresh.Load()) >= p.n.lease && !mutant.On(mutant.JoinUnderLapsedLease) {
		return false // joining is serving
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := coherence.Copy{Key: key, Epoch: f.epoch, Birth: f.birth}
	return p.world.Judge(c, fence) == coherence.Alive || mutant.On(mutant.JoinOldLoad)
}

// joinable reports whether a finished load may answer a reader who joined it:
// its tags, which were not known then, may have been fenced before the reader
// came. Whether a fence came before or after is not remembered; after counts
// as before, and costs another load.
func (p *partition) joinable(f *flight) bool {
	if f.private {
		return false
	}
	if f.err != nil || mutant.On(mutant.JoinIgnoresTags) {
		return true
	}
	return (!p.bracketed(f.entry) || mutant.On(mutant.BypassJoined)) && p.judge(f.entry, coherence.Fence{}) == coherence.Alive
}

// bracketed reports whether an open bracket covers e, if only by a tag: its
// writer may have committed between the load and a reader who joined (H7).
func (p *partition) bracketed(e tiers.Entry) bool {
	if p.bypassing.Load() == 0 {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := copyOf(e)
	return p.world.Bypass(c.Key, c.Tags)
}

// fly runs the load in a goroutine of its own: it goes on for those who joined
// when the reader who started it gives up. Where other nodes may be loading the
// key too it takes its turn, and their answer if they have one.
func (n *Node) fly(ctx context.Context, p *partition, key string, f *flight, fence coherence.Fence, o ReadOptions) {
	scope := &loadScope{p: p, key: key, outer: scopeOf(ctx), birth: f.birth}
	started := n.crew.Go(func() {
		h, answered := n.awaitTurn(ctx, p, key, f, fence, o)
		if answered {
			p.flights.land(key, f)
			return
		}
		ctx, cancel := n.loadContext(ctx)
		defer cancel()
		kept, stored := false, false
		l, err := n.ask(scope.into(ctx), key, o.Load)
		if err == nil {
			kept, err = n.keep(p, f, scope, key, l)
		}
		f.err = err
		p.flights.land(key, f)
		if kept {
			n.replicate(p, f.entry)
			stored = n.keeper.share(ctx, p, f.entry)
		}
		h.finish(f, kept, stored)
	})
	if !started {
		f.err = fmt.Errorf("%w: it is stopping", ErrNotServing)
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
	if !nestedLoad(ctx) {
		if err := n.admission.enter(ctx); err != nil {
			return l, err
		}
		defer n.admission.leave()
		ctx = context.WithValue(ctx, nestedLoadKey{}, true)
	}
	n.stats.loads.Add(1)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("loader of %q panicked: %v", key, r)
		}
		if err != nil {
			n.stats.loadErrors.Add(1)
		}
	}()
	l, err = load(ctx, key)
	if err == nil && len(l.Payload) > n.cfg.MaxValue {
		err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(l.Payload), n.cfg.MaxValue)
	}
	return l, err
}

// nestedLoadKey marks the context of a loader: a load within a load runs on
// the outer one's admission, or the two could wait for each other for ever.
type nestedLoadKey struct{}

func nestedLoad(ctx context.Context) bool { return ctx.Value(nestedLoadKey{}) != nil }

// keep makes the flight's entry of what was loaded, stores it in this process
// where that is allowed, and reports whether it was.
func (n *Node) keep(p *partition, f *flight, scope *loadScope, key string, l Loaded) (bool, error) {
	birth, tags, foreign := scope.close(l.Tags)
	if mutant.On(mutant.BirthAfterLoad) {
		birth = events.Position(p.applied.Load())
	}
	h := n.header(key, l.TTL, tags, l.Codec, l.Version, l.Flags)
	h.Epoch, h.Birth = f.epoch, birth
	e, err := tiers.Append(make([]byte, 0, tiers.EncodedLen(&h, len(l.Payload))), &h, l.Payload)
	if err != nil {
		f.private = true
		return false, err
	}
	f.entry = e
	if f.private = foreign || l.NoStore || f.epoch == 0; f.private {
		return false, nil
	}
	return n.fill(p, e), nil
}

// fill puts a copy into the tiers of this process, each of which checks it
// against the fences that arrived since its birth, in the same moment in which
// it stores it (P23, P24). It reports whether the copy may be kept at all.
func (n *Node) fill(p *partition, e tiers.Entry) bool {
	if !p.mayKeep(e) {
		n.stats.fillsRefused.Add(1)
		return false
	}
	if err := n.memory.Put(e); errors.Is(err, tiers.ErrOutdated) {
		n.stats.fillsRefused.Add(1)
		return false
	}
	p.fillDisk(e)
	return true
}

// mayKeep judges a copy by everything but its key's fence, which the tiers
// check themselves.
func (p *partition) mayKeep(e tiers.Entry) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := copyOf(e)
	alive := p.world.Judge(c, coherence.Fence{}) == coherence.Alive || mutant.On(mutant.NoBroadCheckAtInsert)
	return alive && (!p.world.Bypass(c.Key, c.Tags) || mutant.On(mutant.BypassKept))
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
	c := copyOf(e)
	alive := p.world.Judge(c, fenceOf(f.Hard, f.Soft)) == coherence.Alive || mutant.On(mutant.NoBroadCheckAtInsert)
	return alive && (!p.world.Bypass(c.Key, c.Tags) || mutant.On(mutant.BypassKept))
}

// landed hands the load's result to a reader.
func (n *Node) landed(ctx context.Context, p *partition, key string, f *flight) (Result, error) {
	if s := scopeOf(ctx); s != nil {
		if f.entry != nil && !f.private {
			s.saw(p, f.entry)
		} else {
			s.sawUncached()
		}
	}
	if f.err != nil {
		return Result{}, &Error{Op: "load", Key: key, Err: f.err}
	}
	r := Result{Entry: append(tiers.Entry(nil), f.entry...), Source: f.source}
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
	scope := &loadScope{p: p, key: key, outer: scopeOf(ctx)}
	l, err := n.ask(scope.into(loading), key, o.Load)
	if err != nil {
		return Result{}, &Error{Op: "load", Key: key, Err: err}
	}
	h := n.header(key, l.TTL, l.Tags, l.Codec, l.Version, l.Flags)
	e, err := tiers.Append(nil, &h, l.Payload)
	if err != nil {
		return Result{}, &Error{Op: "load", Key: key, Err: err}
	}
	r := Result{Entry: e, Source: FromOrigin}
	if h.Flags&tiers.FlagNegative != 0 {
		return r, &Error{Op: "load", Key: key, Err: ErrNotFound}
	}
	return r, nil
}

// header makes an entry's header, without birth and epoch.
func (n *Node) header(key string, ttl time.Duration, tags []string, codec tiers.Codec, v events.Version, flags tiers.Flags) tiers.Header {
	if ttl <= 0 {
		ttl = n.cfg.DefaultTTL
	}
	ttl = min(ttl, n.cfg.Settings.MaxTTL)
	now := time.UnixMilli(n.clock.Now().Unix)
	return tiers.Header{
		Key: key, Created: now, Expiry: now.Add(ttl), Version: v, Tags: tags, Flags: flags, Codec: codec,
	}
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
