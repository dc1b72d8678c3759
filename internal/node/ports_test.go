package node_test

import (
	"context"
	"sync"
	"testing"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// barrier holds up whoever passes while it is shut.
type barrier struct {
	mu   sync.Mutex
	held chan struct{} // nil while it is open
}

func (b *barrier) shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held = make(chan struct{})
	}
}

func (b *barrier) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held != nil {
		close(b.held)
		b.held = nil
	}
}

func (b *barrier) pass(ctx context.Context) error {
	b.mu.Lock()
	held := b.held
	b.mu.Unlock()
	if held == nil {
		return nil
	}
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowDisk is a disk whose commits a barrier holds up.
type slowDisk struct {
	node.Disk
	*barrier
}

type slowBatch struct {
	node.Batch
	*barrier
}

func (d slowDisk) Batch(partition int) node.Batch {
	return slowBatch{d.Disk.Batch(partition), d.barrier}
}

func (b slowBatch) Commit() error {
	_ = b.pass(context.Background()) // never ends before it is opened
	return b.Batch.Commit()
}

// slowMemory is an L1 whose lookups a barrier holds up once the copy was taken.
type slowMemory struct {
	node.Memory
	*barrier
}

func (m slowMemory) Lookup(key string, dst []byte) (tiers.Entry, bool) {
	e, ok := m.Memory.Lookup(key, dst)
	_ = m.pass(context.Background())
	return e, ok
}

// slowWitness is a witness whose raising a barrier holds up.
type slowWitness struct {
	*memoryWitness
	*barrier
}

func (w slowWitness) Raise(ctx context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	if err := w.pass(ctx); err != nil {
		return node.Testimony{}, err
	}
	return w.memoryWitness.Raise(ctx, partition, from, to)
}

// pulseless is a way to the log that takes no pulses while its barrier is
// shut, and everything else.
type pulseless struct {
	node.Committer
	*barrier
}

func (p pulseless) Append(ctx context.Context, changes ...events.Change) (events.Position, events.ID, error) {
	if _, pulse := changes[0].(*events.Pulse); pulse {
		if err := p.pass(ctx); err != nil {
			return 0, events.ID{}, &events.PublishError{Outcome: events.ErrNotLanded, Cause: err}
		}
	}
	return p.Committer.Append(ctx, changes...)
}

// switchboard connects nodes in one process.
type switchboard struct {
	mu    sync.Mutex
	lines map[events.Incarnation]line
}

type line struct {
	asked     func(node.Question)
	confirmed func(node.Confirmation)
}

func newSwitchboard() *switchboard {
	return &switchboard{lines: map[events.Incarnation]line{}}
}

func (s *switchboard) Ask(q node.Question) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		l.asked(q)
	}
	return nil
}

func (s *switchboard) Confirm(to events.Incarnation, c node.Confirmation) error {
	s.mu.Lock()
	l, there := s.lines[to]
	s.mu.Unlock()
	if there {
		l.confirmed(c)
	}
	return nil
}

func (s *switchboard) Listen(ctx context.Context, self events.Incarnation, asked func(node.Question), confirmed func(node.Confirmation)) error {
	s.mu.Lock()
	s.lines[self] = line{asked, confirmed}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	delete(s.lines, self)
	s.mu.Unlock()
	return ctx.Err()
}

// driftingClock runs faster than package time by a share of it.
type driftingClock struct {
	*clocktest.Clock
	ppm int64
}

func (c driftingClock) skew(t int64) int64 { return t + t/1_000_000*c.ppm }

func (c driftingClock) Now() clock.Reading {
	r := c.Clock.Now()
	r.Holder = c.skew(r.Holder)
	return r
}

func (c driftingClock) Waiter() int64 { return c.skew(c.Clock.Waiter()) }

// incarnationOf returns how the others know a node.
func incarnationOf(t *testing.T, n *node.Node, name string) events.Incarnation {
	t.Helper()
	for _, m := range n.Members() {
		if m.Node == events.NodeID(name) {
			return m.Incarnation
		}
	}
	t.Fatalf("%s is no member", name)
	return events.Incarnation{}
}

// lastPulse returns the last pulse that the log holds.
func (f *fleet) lastPulse() *events.Pulse {
	f.t.Helper()
	first, last := f.stream.Bounds()
	for p := last; p >= first; p-- {
		d, _ := f.stream.At(p)
		if r, err := events.DecodeRecord(d.Data); err == nil {
			for _, c := range r.Changes {
				if pulse, ok := c.(*events.Pulse); ok {
					return pulse
				}
			}
		}
	}
	f.t.Fatal("the log holds no pulse")
	return nil
}

// slowShared is a shared tier whose lookups a barrier holds up once the copy,
// or none, was found.
type slowShared struct {
	node.Shared
	*barrier
}

func (s slowShared) Get(ctx context.Context, key string, dst []byte) (tiers.Entry, error) {
	e, err := s.Shared.Get(ctx, key, dst)
	_ = s.pass(context.Background())
	return e, err
}
