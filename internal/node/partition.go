package node

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// never is a fresh-as-of so long ago that no lease reaches it.
const never = math.MinInt64 / 2

// partition is a coherence world of its own: one log, what it says, and how
// fresh this node is in it.
//
// Readers look at the atomics only. Whoever moves them does it in this order:
// floor and epoch rise before applied, applied before fresh.
type partition struct {
	n     *Node
	index int
	log   events.Log
	out   Committer

	// mu guards world. The apply loop alone writes; readers that have to judge
	// a copy share it.
	mu    sync.RWMutex
	world *coherence.World

	// epoch, floor and applied mirror the world for readers: a copy of this
	// epoch born at or above the floor can be killed by a key fence only, and
	// those are acted on in L1.
	epoch   atomic.Uint64
	floor   atomic.Uint64
	applied atomic.Uint64
	// ahead is the highest birth beyond applied that was served.
	ahead atomic.Pointer[consistency.Point]
	// bypassing counts the open brackets.
	bypassing atomic.Int64
	// fresh is fresh-as-of in holder time, or never; life counts how often the
	// partition has begun to apply its log anew, and forgot what it knew of it.
	fresh atomic.Int64
	life  atomic.Uint64
	// strangersUntil is when, in waiter time, no member can serve any more that
	// this node had no chance to hear of since the epoch began (H4).
	strangersUntil atomic.Int64
	// blind: the disk is missing or was lost; guard slots stand in for it.
	blind atomic.Bool
	// renewal fills a new disk, after a loss; else nil.
	renewal atomic.Pointer[renewal]

	pulses  pulses
	short   shortcut
	waiters waiters
	own     ownRecords
	flights flights
	rests   rests

	testified witnessed
	// doubting is since when, in waiter time, this node can't tell whether its
	// history is the one that is witnessed; 0: it can.
	doubting atomic.Int64
	aborts   aborts

	// What follows belongs to the apply loop alone.

	batch    Batch             // nil without a disk
	versions map[string]uint64 // set by batch, not committed yet
	meta     []byte            // scratch
	ages     []age             // oldest first
	// guardSince is the position since which the guard slots are complete.
	guardSince atomic.Uint64
}

// point is what this node's session has seen of the partition: what is
// applied, or the birth of a copy from further ahead that it has served (H9).
func (p *partition) point() consistency.Point {
	p.mu.RLock()
	defer p.mu.RUnlock()
	seen := consistency.Point{Epoch: p.world.Epoch(), Position: events.Position(p.applied.Load())}
	if a := p.ahead.Load(); a != nil && a.Epoch == seen.Epoch && !mutant.On(mutant.TokenOmitsBirth) {
		seen.Position = max(seen.Position, a.Position)
	}
	return seen
}

// sawAhead notes that a copy was served whose birth this node has not applied
// yet: another node, further on, had filled it.
func (p *partition) sawAhead(e tiers.Entry) {
	now := consistency.Point{Epoch: e.Epoch(), Position: e.Birth()}
	for {
		old := p.ahead.Load()
		if old != nil && old.Epoch == now.Epoch && old.Position >= now.Position {
			return
		}
		if p.ahead.CompareAndSwap(old, &now) {
			return
		}
	}
}

// mirror makes what the world says visible to readers, in the order that
// they rely on. The caller holds mu.
func (p *partition) mirror() {
	p.floor.Store(uint64(p.world.Newest()))
	p.epoch.Store(uint64(p.world.Epoch()))
	n := 0
	for range p.world.Brackets() {
		n++
	}
	p.bypassing.Store(int64(n))
}

// waiters are callers who wait for the partition to move on.
type waiters struct {
	mu sync.Mutex
	ch chan struct{} // closed at the next move; nil while nobody waits
}

// wake lets everyone look again.
func (w *waiters) wake() {
	w.mu.Lock()
	if w.ch != nil {
		close(w.ch)
		w.ch = nil
	}
	w.mu.Unlock()
}

// next returns a channel that is closed at the next wake. Take it before
// looking at the condition.
func (w *waiters) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch == nil {
		w.ch = make(chan struct{})
	}
	return w.ch
}

// until blocks until cond holds, ctx is done or the node stops.
func (p *partition) until(ctx context.Context, cond func() bool) error {
	for {
		moved := p.waiters.next()
		if cond() {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.n.stopped:
			return ErrNotServing
		}
	}
}

// ownRecords remembers where this incarnation's last records were applied, so
// that a writer can tell its own record from another that took its place.
type ownRecords struct {
	mu   sync.Mutex
	ring [1024]struct {
		counter uint64
		at      consistency.Point
	}
}

func (o *ownRecords) note(counter uint64, at consistency.Point) {
	o.mu.Lock()
	slot := &o.ring[counter%uint64(len(o.ring))]
	slot.counter, slot.at = counter, at
	o.mu.Unlock()
}

// at returns where the record was applied, and in which epoch; the zero Point
// if it was not, too long ago, or in a history that is over.
func (o *ownRecords) at(counter uint64) consistency.Point {
	o.mu.Lock()
	defer o.mu.Unlock()
	if slot := o.ring[counter%uint64(len(o.ring))]; slot.counter == counter {
		return slot.at
	}
	return consistency.Point{}
}

// forget drops what belongs to a history that is over: a writer that waited
// for its place there must not take the record at that place here for its own.
func (o *ownRecords) forget() {
	o.mu.Lock()
	clear(o.ring[:])
	o.mu.Unlock()
}
