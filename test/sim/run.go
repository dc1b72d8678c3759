package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
)

// Result is what a run came to.
type Result struct {
	Seed       uint64
	Violations []string
	Counts     *Counts
	Trace      *Trace
}

// World is a run.
type World struct {
	plan     *plan
	trace    *Trace
	count    *Counts
	ctx      context.Context // ends with the run
	end      context.CancelFunc
	work     sync.WaitGroup
	machines []*machine
	streams  []*memlog.Stream
	ledgers  []*ledger
	store    *store
	hub      *hub
	room     *room
	courier  *courier
	origin   *origin
	sessions []*session
	roll     *dice

	healed     atomic.Bool // no more noise
	lateCopies atomic.Bool
	orphaned   atomic.Bool // a dead writer committed in a bracket that the log had lost
	rolledBack atomic.Bool // a tier came back from a copy
	debts      atomic.Int64

	mu         sync.Mutex
	reads      []*read
	everywhere []*confirmed
	puts       map[int]*put
	violations []string
	nextPut    int
}

// strikes decides whether a noise strikes, and counts it.
func (w *World) strikes(roll *dice, p float64, what string) bool {
	if p <= 0 || w.healed.Load() || !roll.chance(p) {
		return false
	}
	w.count.strike(what)
	return true
}

// background runs f until it ends; the run waits for it.
func (w *World) background(f func()) { w.work.Go(f) }

func (w *World) violate(judge, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, judge+": "+fmt.Sprintf(format, args...))
}

// Run lives through the seed's run and judges it. It must be called inside a
// synctest bubble.
func Run(seed uint64) *Result {
	p := newPlan(seed)
	w := &World{
		plan: p, trace: &Trace{start: time.Now()}, count: newCounts(), roll: newDice(seed, "world"),
		store: newStore(p.settings.Partitions), puts: map[int]*put{},
	}
	w.ctx, w.end = context.WithCancel(context.Background())
	w.hub = &hub{w: w, of: map[events.Incarnation]*peersPort{}, lines: map[events.Incarnation]*linePort{}}
	w.room = &room{w: w, highest: make([]node.Testimony, p.settings.Partitions)}
	w.courier = &courier{w: w, of: map[events.NodeID]*copiesPort{}}
	w.origin = newOrigin(w.trace)
	for range 2 {
		w.sessions = append(w.sessions, &session{})
	}
	w.trace.add("run", "seed %d: %d partition(s), drift %d ppm, policy %s, log %s, disks %v, shared %v, witness %v, members %v, peers %v, turns %v, copies %v, inline %d, clocks %v ppm",
		seed, p.settings.Partitions, p.settings.DriftPPM, p.settings.Policy, p.history, p.disks, p.shared, p.witness, p.members, p.peers, p.turns, p.copies, p.settings.InlineMax, p.rates)
	w.trace.add("run", "noise %+v", p.noise)
	w.count.judged(withPartitions(p.settings.Partitions))
	for i := range p.settings.Partitions {
		s := memlog.NewStream()
		w.streams = append(w.streams, s)
		w.ledgers = append(w.ledgers, newLedger(w, i, s))
	}
	for i := range p.machines {
		m := &machine{w: w, name: string(rune('A' + i)), clock: newMachineClock(p.rates[i])}
		if p.disks {
			m.drive = newDrive(p.settings.Partitions)
		}
		w.machines = append(w.machines, m)
		w.mustStart(m)
	}
	w.background(w.resolve)
	w.background(w.backUp)
	for _, s := range p.steps {
		time.Sleep(s.at - w.trace.now())
		w.debts.Add(1) // the end waits for it
		w.background(func() {
			defer w.debts.Add(-1)
			w.step(s)
		})
	}
	time.Sleep(p.length - w.trace.now())
	w.settle()
	w.end()
	for _, m := range w.machines {
		m.leave()
	}
	w.work.Wait()
	for _, l := range w.ledgers {
		l.take()
	}
	w.judge()
	return &Result{Seed: seed, Violations: w.violations, Counts: w.count, Trace: w.trace}
}

// backUp takes copies of everything now and then, for faults to restore.
func (w *World) backUp() {
	for w.ctx.Err() == nil && !w.healed.Load() {
		time.Sleep(w.roll.between(500*time.Millisecond, 2*time.Second))
		w.store.backUp()
		for _, m := range w.machines {
			if m.drive != nil {
				m.drive.backUp()
			}
		}
	}
}

func (w *World) mustStart(m *machine) {
	m.starting.Lock()
	defer m.starting.Unlock()
	if m.process() != nil || w.ctx.Err() != nil {
		return
	}
	if err := m.start(); err != nil {
		w.violate("liveness", "%s does not start: %v", m.name, err)
	}
}

// settle mends everything and waits until nothing is owed to the log any more;
// then every node must serve, agree with the origin, and write.
func (w *World) settle() {
	w.trace.add("run", "everything is mended")
	w.healed.Store(true)
	for i, m := range w.machines {
		m.resume()
		m.clock.suspend(false)
		m.cutStore.Store(false)
		m.cutPeers.Store(false)
		m.link(false)
		w.mustStart(w.machines[i])
	}
	for _, s := range w.streams {
		s.Restore()
	}
	const patience = 40 * time.Second
	by := w.trace.now() + patience
	for w.debts.Load() > 0 || w.openBrackets() > 0 || !w.allServe() {
		if w.trace.now() > by {
			for _, m := range w.machines {
				p := m.process()
				w.violate("liveness", "%s after %v: %v; %d debts, %d open brackets", m.name, patience, p.node.Serving(), w.debts.Load(), len(p.node.Brackets()))
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.count.judged("liveness")
	w.trace.add("run", "everything is settled")
	w.final()
}

func (w *World) allServe() bool {
	for _, m := range w.machines {
		if p := m.process(); p == nil || p.node.Serving() != nil {
			return false
		}
	}
	return true
}

func (w *World) openBrackets() (n int) {
	for _, m := range w.machines {
		if p := m.process(); p != nil {
			n += len(p.node.Brackets())
		}
	}
	return n
}
