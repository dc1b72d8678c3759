package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/peers"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/memory"
)

// machine is a host: its clock, its disk and its cables outlive the processes
// that run on it, one at a time.
type machine struct {
	w     *World
	name  string
	clock *machineClock
	drive *drive // nil: nodes on it keep nothing

	cutLog, cutStore, cutPeers atomic.Bool

	starting sync.Mutex // held by who starts a process

	mu     sync.Mutex
	run    *process // nil while none runs
	starts int
	paused chan struct{} // closed at resume; nil while it runs
}

// process returns what runs on the machine; nil for nothing.
func (m *machine) process() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run
}

func (m *machine) halted() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused
}

// process is one run of a node.
type process struct {
	w           *World
	m           *machine
	node        *node.Node
	incarnation events.Incarnation
	restarted   bool
	roll, slow  *dice

	members *membersWitness // nil: it tells nobody
	lesson  lesson
	logs    []*memlog.Log
	commits []*groupcommit.Committer
	stop    context.CancelFunc
	dead    chan struct{} // closed when it crashes
	done    chan struct{} // closed when Run has returned
	err     error         // of Run; set before done is closed
}

var errDead = errors.New("sim: the process has crashed")

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// pass lets the caller through when the machine runs, and turns it back if
// the process is dead or ctx ends. Nothing may hold a lock here.
func (p *process) pass(ctx context.Context) error {
	for {
		if p.isDead() {
			return errDead
		}
		halted := p.m.halted()
		if halted == nil {
			return nil
		}
		select {
		case <-halted:
		case <-p.dead:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// nap lets a little time pass, up to most and now and then ten times that.
func (p *process) nap(roll *dice, most time.Duration) {
	if roll.chance(0.05) {
		most *= 10
	}
	time.Sleep(roll.between(time.Nanosecond, most))
}

func (p *process) partition(key string) int { return node.Partition(key, p.w.plan.settings.Partitions) }

// memoryPort is the real memory tier, with evictions and with time passing
// between the decision to keep a copy and its keeping.
type memoryPort struct {
	*memory.Cache
	p *process
}

func (x memoryPort) Put(e tiers.Entry) error { return x.keep(e, x.Cache.Put) }

func (x memoryPort) Promote(e tiers.Entry) error { return x.keep(e, x.Cache.Promote) }

func (x memoryPort) keep(e tiers.Entry, keep func(tiers.Entry) error) error {
	x.p.nap(x.p.roll, 500*time.Microsecond)
	if x.p.w.strikes(x.p.roll, 0.05, "memory: evicted") {
		defer x.Remove(e.Key())
	}
	return keep(e)
}

func (x memoryPort) Lookup(key string, dst []byte) (tiers.Entry, bool) {
	e, ok := x.Cache.Lookup(key, dst)
	runtime.Gosched()
	return e, ok
}

// start runs a new incarnation of the machine's node.
func (m *machine) start() error {
	w := m.w
	m.mu.Lock()
	m.starts++
	n := m.starts
	m.mu.Unlock()
	name := fmt.Sprintf("%s/%d", m.name, n)
	p := &process{
		w: w, m: m, restarted: n > 1, roll: newDice(w.plan.Seed, name), slow: newDice(w.plan.Seed, name+" slow"),
		dead: make(chan struct{}), done: make(chan struct{}),
	}
	s := w.plan.settings
	var err error
	if p.incarnation, err = events.NewIncarnation(p.roll); err != nil {
		return err
	}
	l1, err := memory.New(memory.Config{Bytes: memory.MinBytes, GuardSlots: w.plan.guardSlots, Partitions: s.Partitions, Partition: p.partition})
	if err != nil {
		return err
	}
	deps := node.Deps{
		Memory: memoryPort{l1, p}, Clock: clock.Clock(m.clock), Random: p.roll, Incarnation: p.incarnation,
		Logger: slog.New(logged{t: w.trace, who: m.name}),
	}
	if m.drive != nil {
		deps.Disk = m.drive.use(p)
		deps.NewDisk = func(context.Context) (node.Disk, error) { return m.drive.renew(p) }
	}
	if w.plan.shared {
		deps.Shared = &storePort{p: p, s: w.store}
	}
	if w.plan.witness {
		deps.Witness = &witnessPort{storePort{p: p, s: w.store}}
	}
	if w.plan.members {
		if p.members, err = p.joinWitness(); err != nil {
			return err
		}
		if deps.Witness == nil {
			deps.Witness = p.members
		} else {
			deps.Witness = peers.WithReserve(deps.Witness, p.members, s.Partitions)
		}
	}
	if w.plan.peers {
		deps.Peers = &peersPort{p: p, h: w.hub}
	}
	if w.plan.copies {
		deps.Replicas = w.courier.port(p, w.plan.Seed)
	}
	if w.plan.turns {
		deps.Line = newLinePort(p)
		if w.plan.shared {
			deps.Turns = &turnsPort{storePort{p: p, s: w.store}}
		}
	}
	for i := range s.Partitions {
		l := w.streams[i].Connect(p.faults())
		if m.cutLog.Load() {
			l.Cut()
		}
		cable := &cable{p: p, l: l}
		c, err := groupcommit.New(cable, groupcommit.Config{Publisher: p.incarnation})
		if err != nil {
			return err
		}
		p.logs = append(p.logs, l)
		p.commits = append(p.commits, c)
		deps.Logs = append(deps.Logs, cable)
		deps.Committers = append(deps.Committers, c)
	}
	if p.node, err = node.New(deps, node.Config{
		Node: events.NodeID(m.name), Settings: s, DefaultTTL: w.plan.ttl, Policy: w.plan.policy,
		WaitTimeout: w.plan.patience, LoadTimeout: 5 * time.Second, Turn: turnLength, AuditRate: auditRate,
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	m.mu.Lock()
	m.run = p
	m.mu.Unlock()
	w.background(func() {
		p.err = p.node.Run(ctx)
		w.audited(m, p.node.Stats().Audit)
		if p.members != nil {
			p.members.Close()
		}
		close(p.done)
		if p.err != nil && !p.isDead() {
			w.trace.add(m.name, "run ended: %v", p.err)
			w.violate("liveness", "%s: Run returned %v", m.name, p.err)
		}
		for i := range p.logs {
			p.commits[i].Close()
			p.logs[i].Close()
		}
	})
	w.trace.add(m.name, "starts as %.8s", p.incarnation)
	return nil
}

// crash ends the process at once: what it was about to do outside, it does not.
func (m *machine) crash() *process {
	m.mu.Lock()
	p := m.run
	m.run = nil
	m.mu.Unlock()
	if p == nil {
		return nil
	}
	close(p.dead)
	p.stop()
	m.w.forget(p)
	lost := 0
	if m.drive != nil {
		lost = m.drive.crash(p.roll)
	}
	for _, l := range p.logs {
		l.Close()
	}
	m.w.trace.add(m.name, "crashes; %d commits of its disk are lost", lost)
	return p
}

// leave stops the process in order.
func (m *machine) leave() {
	m.mu.Lock()
	p := m.run
	m.run = nil
	m.mu.Unlock()
	if p == nil {
		return
	}
	m.w.trace.add(m.name, "stops")
	p.stop()
	<-p.done
	m.w.forget(p)
	m.w.trace.add(m.name, "has stopped")
}

// halt freezes the machine's processes at their ports until resume.
func (m *machine) halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paused == nil {
		m.paused = make(chan struct{})
	}
}

func (m *machine) resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paused != nil {
		close(m.paused)
		m.paused = nil
	}
}

// link cuts or mends the machine's way to the log.
func (m *machine) link(cut bool) {
	m.cutLog.Store(cut)
	p := m.process()
	if p == nil {
		return
	}
	for _, l := range p.logs {
		if cut {
			l.Cut()
		} else {
			l.Heal()
		}
	}
}
