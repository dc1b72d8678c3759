package sim

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/peers"
)

// room is where processes tell each other their testimonies, by the code that
// ships (peers.Witness): some of what they say is lost, repeated or late.
type room struct {
	w  *World
	mu sync.Mutex
	in []*seat
	// highest is what any process ever raised, by partition: what a witness that
	// forgets nothing would keep.
	highest []node.Testimony
}

// seat is one process's.
type seat struct {
	p    *process
	r    *room
	hear func([]byte, func([]byte) error)
}

var _ peers.Party = (*seat)(nil)

func (s *seat) Listen(hear func([]byte, func([]byte) error)) (end func(), err error) {
	s.hear = hear
	s.r.mu.Lock()
	s.r.in = append(s.r.in, s)
	s.r.mu.Unlock()
	return func() {
		s.r.mu.Lock()
		s.r.in = slices.DeleteFunc(s.r.in, func(o *seat) bool { return o == s })
		s.r.mu.Unlock()
	}, nil
}

func (s *seat) Tell(b []byte) error {
	s.r.mu.Lock()
	all := slices.Clone(s.r.in)
	s.r.mu.Unlock()
	for _, to := range all {
		s.say(to, b)
	}
	return nil
}

// say tells one listener, itself among them.
func (s *seat) say(to *seat, b []byte) {
	b = slices.Clone(b)
	w := s.p.w
	send := func() {
		w.hub.send(s.p, to.p, func() {
			to.hear(b, func(answer []byte) error { to.say(s, answer); return nil })
		})
	}
	if s.p.m.halted() == nil {
		send()
		return
	}
	w.background(func() {
		if s.p.pass(w.ctx) == nil {
			send()
		}
	})
}

// membersWitness is a process's testimonies with the members, where nobody does
// anything while the machine stands still.
type membersWitness struct {
	p *process
	*peers.Witness
}

var _ node.Witness = (*membersWitness)(nil)

func (p *process) joinWitness() (*membersWitness, error) {
	kept, err := peers.NewWitness(&seat{p: p, r: p.w.room}, p.incarnation)
	return &membersWitness{p: p, Witness: kept}, err
}

func (x *membersWitness) Read(ctx context.Context, partition int) (node.Testimony, error) {
	if err := x.p.pass(ctx); err != nil {
		return node.Testimony{}, err
	}
	t, err := x.Witness.Read(ctx, partition)
	if err == nil {
		x.p.learn(partition, t)
	}
	return t, err
}

func (x *membersWitness) Raise(ctx context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	if err := x.p.pass(ctx); err != nil {
		return node.Testimony{}, err
	}
	kept, err := x.Witness.Raise(ctx, partition, from, to)
	if err == nil && kept == to {
		r := x.p.w.room
		r.mu.Lock()
		if h := &r.highest[partition]; h.Epoch != to.Epoch || h.Position < to.Position {
			*h = to
		}
		r.mu.Unlock()
	}
	return kept, err
}

// lesson is what the members told a process when it began, before its first
// pulse set out.
type lesson struct {
	mu    sync.Mutex
	first map[int]node.Testimony
}

func (p *process) learn(partition int, t node.Testimony) {
	p.lesson.mu.Lock()
	defer p.lesson.mu.Unlock()
	if p.lesson.first == nil {
		p.lesson.first = map[int]node.Testimony{}
	}
	if _, before := p.lesson.first[partition]; !before {
		p.lesson.first[partition] = t
	}
}

// covers reports whether who keeps t notices that what h covers is gone.
func covers(t, h node.Testimony) bool { return t.Epoch == h.Epoch && t.Position >= h.Position }

// loss is a change of a log's history, as the members' witness met it.
type loss struct {
	at time.Duration
	// highest is what had been raised by anybody; zero if it is not promised that
	// this loss is noticed.
	highest node.Testimony
	// told are the processes that kept it.
	told []*process
	// forgotten is when the last process ended that knew; forever if none did.
	forgotten time.Duration
}

// lose notes that a partition's log is losing everything behind last, and
// returns what its members' witness is sure to prove of that: what every process
// that lives was told.
func (w *World) lose(partition int, last events.Position, settled bool) *loss {
	x := &loss{at: w.trace.now(), forgotten: forever}
	w.room.mu.Lock()
	highest := w.room.highest[partition]
	w.room.mu.Unlock()
	if !settled || highest.Position <= last {
		return x
	}
	for _, m := range w.machines {
		p := m.process()
		if p == nil {
			continue
		}
		if !slices.ContainsFunc(p.members.Keeps(partition), func(t node.Testimony) bool { return covers(t, highest) }) {
			return x
		}
		x.told = append(x.told, p)
	}
	if len(x.told) > 0 {
		x.highest = highest
		w.count.strike("members: all were told what the log lost")
	}
	return x
}

// knows reports whether p was told before the loss, or when it began.
func (x *loss) knows(p *process, partition int) bool {
	if slices.Contains(x.told, p) {
		return true
	}
	p.lesson.mu.Lock()
	defer p.lesson.mu.Unlock()
	return x.highest != node.Testimony{} && covers(p.lesson.first[partition], x.highest)
}

// forget is told of each process that ends.
func (w *World) forget(gone *process) {
	if !w.plan.membersTell() {
		return
	}
	for _, l := range w.ledgers {
		l.mu.Lock()
		for _, x := range l.losses {
			if x.forgotten == forever && !slices.ContainsFunc(w.machines, func(m *machine) bool {
				p := m.process()
				return p != nil && p != gone && x.knows(p, l.index)
			}) {
				x.forgotten = w.trace.now()
			}
		}
		l.mu.Unlock()
	}
}

// unpromised reports whether the members' witness promises p nothing about a
// loss of l's log at that time: p was not told, or nobody was left who had been.
func (x *loss) unpromised(p *process, l *ledger, at time.Duration) bool {
	return x.highest == node.Testimony{} || at >= x.forgotten || !x.knows(p, l.index)
}
