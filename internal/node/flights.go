package node

import (
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// flights are the loads of a partition that run now, one for each key that
// others may join.
type flights struct {
	mu     sync.Mutex
	of     map[string]*flight
	booked uint64 // so far
}

func (f *flights) init() { f.of = make(map[string]*flight) }

// count returns how many flights have been booked.
func (l *flights) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.booked
}

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
	life  uint64 // the partition's, see still
	// number counts the partition's flights; level is that of the read that
	// started this one.
	number uint64
	level  consistency.Level
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
	// policy, skip and refresh are those of the read that started the load; began
	// is when, in waiter time.
	policy  *Policy
	skip    Skip
	refresh bool
	began   int64
	// nested: the loader has read copies, at the level of the flight. stale: one
	// of them was marked so.
	nested, stale bool
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
	epoch, birth, life := p.world.Epoch(), p.world.Applied(), p.life.Load()
	p.mu.RUnlock()
	// The world may be ahead of what was published as applied, while L1 and
	// the disk still lack its fences; a birth must not be.
	birth = min(birth, events.Position(p.applied.Load()))
	if f := p.flights.of[key]; f != nil && f.epoch == epoch && p.mayJoin(f, key, fence, o) {
		return f, false
	}
	p.flights.booked++
	f = &flight{
		epoch: epoch, life: life, birth: birth, since: birth, source: FromOrigin,
		number: p.flights.booked, level: o.Level, done: make(chan struct{}),
		policy: o.policy, skip: o.Skip, refresh: o.refresh, began: p.n.clock.Waiter(),
	}
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
//
// What the loader itself has read of the cache is as fresh as the read that
// started the load demanded. That must do for a reader at level l, who came when
// since flights had been booked.
func (p *partition) joinable(f *flight, l consistency.Level, since uint64) bool {
	if f.private {
		return false
	}
	later := f.number > since && f.level.Kind() == consistency.KindStrong
	if f.nested && !later && !f.level.Covers(l) && !mutant.On(mutant.NestedFlightJoined) {
		return false
	}
	if f.err != nil || mutant.On(mutant.JoinIgnoresTags) {
		return true
	}
	return p.judge(f.entry, coherence.Fence{}) == coherence.Alive && p.lives(f.life)
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
