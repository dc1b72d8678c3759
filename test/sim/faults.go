package sim

import (
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// fault carries out one fault of the plan.
func (w *World) fault(m *machine, s step) {
	if w.healed.Load() {
		return
	}
	if w.strike(m, s) {
		w.count.strike(s.what)
	}
}

// strike does what the step says and reports whether there was anything to do.
func (w *World) strike(m *machine, s step) bool {
	part := s.key % len(w.streams)
	switch s.what {
	case "crash":
		if m.crash() == nil {
			return false
		}
		w.revive(m, s.dur)
	case "stop":
		m.leave()
		w.revive(m, s.dur)
	case "pause":
		w.trace.add(m.name, "is paused for %v", s.dur)
		m.halt()
		w.later(s.dur, func() { m.resume(); w.trace.add(m.name, "goes on") })
	case "suspend":
		w.trace.add(m.name, "is suspended for %v", s.dur)
		m.clock.suspend(true)
		m.halt()
		w.later(s.dur, func() {
			m.clock.suspend(false)
			m.resume()
			w.trace.add(m.name, "wakes up")
		})
	case "cut log":
		w.trace.add(m.name, "is cut off from the log for %v", s.dur)
		m.link(true)
		w.later(s.dur, func() { m.link(false); w.trace.add(m.name, "reaches the log again") })
	case "cut store":
		w.trace.add(m.name, "is cut off from the shared tier for %v", s.dur)
		m.cutStore.Store(true)
		w.later(s.dur, func() { m.cutStore.Store(false) })
	case "cut peers":
		w.trace.add(m.name, "is cut off from its peers for %v", s.dur)
		m.cutPeers.Store(true)
		w.later(s.dur, func() { m.cutPeers.Store(false) })
	case "wall forward":
		w.trace.add(m.name, "its wall clock jumps by %v", s.dur)
		m.clock.step(s.dur)
	case "wall back":
		w.trace.add(m.name, "its wall clock jumps by %v", -s.dur)
		m.clock.step(-s.dur)
	case "tier off":
		return w.switchOff(m, node.Tiers[s.choice%len(node.Tiers)], s.dur)
	case "disk dies", "disk rolled back", "disk cloned", "snapshot restored", "disk wiped", "disk wiped, log trimmed", "disk synced":
		return m.drive != nil && w.strikeDisk(m, s)
	case "store flushed":
		w.trace.add("store", "is flushed")
		w.store.flush()
	case "store rolled back":
		w.rolledBack.Store(true)
		w.trace.add("store", "is rolled back")
		return w.store.rollBack(w.roll, false)
	case "witness lost":
		w.trace.add("store", "loses its testimonies")
		w.store.forgetWitness()
	case "witness rolled back":
		w.trace.add("store", "is rolled back, testimonies too")
		return w.store.rollBack(w.roll, true)
	case "log rolled back, one is left":
		w.leaveOne(m, w.ledgers[part], s)
	default:
		return w.strikeLog(w.ledgers[part], s)
	}
	return true
}

// leaveOne has the log lose what one machine was told of and has not applied,
// and everybody crash who has.
func (w *World) leaveOne(left *machine, l *ledger, s step) {
	_, last := l.stream.Bounds()
	w.trace.add(left.name, "is cut off from the log for %v, and the others will crash with its tail", s.dur)
	left.link(true)
	w.debts.Add(1) // nothing is settled before that
	w.background(func() {
		defer w.debts.Add(-1)
		time.Sleep(s.dur)
		if w.ctx.Err() != nil {
			return
		}
		l.rollBack(last-min(last, events.Position(s.choice%3)), false)
		w.trace.add("log", "partition %d is rolled back to %d", l.index, last)
		for _, m := range w.machines {
			if m != left && m.crash() != nil {
				w.revive(m, s.dur/2)
			}
		}
		left.link(false)
	})
}

// switchOff switches a tier of the node on m off, for d.
func (w *World) switchOff(m *machine, t node.Source, d time.Duration) bool {
	p := m.process()
	if p == nil || t == node.FromShared && w.plan.turns {
		return false // nodes that ask for turns in different places load twice
	}
	w.trace.add(m.name, "its tier %v is switched off for %v", t, d)
	if err := p.node.SwitchOff(t); err != nil {
		w.violate("liveness", "%s: %v", m.name, err)
	}
	w.later(d, func() { _ = p.node.SwitchOn(t) })
	return true
}

func (w *World) strikeDisk(m *machine, s step) bool {
	d := m.drive
	if s.what == "disk synced" {
		d.sync()
		return true
	}
	if s.what == "disk dies" {
		w.trace.add(m.name, "its disk dies")
		d.mu.Lock()
		d.broken = true
		d.mu.Unlock()
		return true
	}
	from := newContent(len(w.streams))
	other := w.machines[(s.machine+1)%len(w.machines)].drive
	switch s.what {
	case "disk rolled back":
		if from = d.backup(w.roll); from == nil {
			return false
		}
	case "disk cloned":
		other.mu.Lock()
		from = other.now.clone()
		other.mu.Unlock()
	case "snapshot restored":
		if from = other.backup(w.roll); from == nil {
			return false
		}
	}
	if m.crash() == nil {
		return false
	}
	if s.what == "snapshot restored" {
		d.mu.Lock()
		own := d.durable.clone()
		d.mu.Unlock()
		if from = w.image(from, own); from == nil {
			from = own
			w.trace.add(m.name, "the snapshot is of no use")
		}
		if w.healed.Load() {
			return true // proving took so long that the machine runs again
		}
	}
	if s.what == "disk wiped, log trimmed" {
		for _, l := range w.ledgers {
			_, last := l.stream.Bounds()
			l.trim(max(last, 5) - events.Position(s.choice%5))
		}
	}
	w.rolledBack.Store(true)
	w.trace.add(m.name, "%s", s.what)
	d.restore(from)
	w.revive(m, s.dur)
	return true
}

func (w *World) strikeLog(l *ledger, s step) bool {
	first, last := l.stream.Bounds()
	held := int(last - first + 1)
	switch s.what {
	case "log trimmed":
		if held < 2 {
			return false
		}
		l.trim(first + events.Position(s.frac*float64(held)))
		first, _ = l.stream.Bounds()
		w.trace.add("log", "partition %d is trimmed to begin at %d", l.index, first)
	case "log rolled back":
		n := events.Position(1 + s.frac*float64(min(held, 30)))
		if held < 1 || n > last {
			return false
		}
		lost, kept := l.rollBack(last-min(n, last), false)
		w.trace.add("log", "partition %d is rolled back from %d to %d: %d records lost, %d of them witnessed", l.index, last, last-n, lost, kept)
	case "log has a hole":
		n := events.Position(1 + s.choice%4)
		if held < 1 {
			return false
		}
		from := first + events.Position(s.frac*float64(held))
		w.makeHole(l, from, from+n-1, s)
	case "log rolled back, then a hole":
		n := events.Position(1 + s.frac*float64(min(held, 10)))
		if held < 1 || n > last {
			return false
		}
		l.rollBack(last-n, false)
		w.trace.add("log", "partition %d is rolled back from %d to %d", l.index, last, last-n)
		w.makeHole(l, last-n+1, last-n+1+events.Position(s.choice%4), s)
	case "log recreated":
		lost, kept := l.rollBack(0, true)
		w.trace.add("log", "partition %d is recreated: %d records lost, %d of them witnessed", l.index, lost, kept)
	case "foreign record":
		w.trace.add("log", "partition %d gets a foreign record at %d", l.index, l.stream.AppendForeign([]byte("hello")))
	case "future record":
		id := events.ID{Counter: uint64(s.choice) + 1}
		w.roll.Read(id.Publisher[:])
		w.trace.add("log", "partition %d gets a record of a later wire version at %d", l.index, l.stream.Append(id, []byte{events.WireVersion + 1, 0x90}))
	case "record of the next version":
		id := events.ID{Counter: uint64(s.choice) + 1}
		w.roll.Read(id.Publisher[:])
		data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{
			&events.Invalidate{Scope: events.Scope{Prefixes: []string{"row:"}}, Source: w.source()},
		}})
		if err != nil {
			panic(err)
		}
		data[0]++
		w.trace.add("log", "partition %d gets a record of the next wire version at %d", l.index, l.stream.Append(id, data))
	case "log away":
		w.trace.add("log", "partition %d is away for %v", l.index, s.dur)
		l.stream.Delete()
		w.later(s.dur, func() { l.stream.Restore(); w.trace.add("log", "partition %d is back", l.index) })
	case "ids forgotten":
		l.stream.Forget()
	default:
		panic("sim: no step is called " + s.what)
	}
	return true
}

// makeHole makes one in the log. Half of the times its server has restarted: it
// knows no consumer any more, and no identity of what is gone.
func (w *World) makeHole(l *ledger, from, to events.Position, s step) {
	l.lose(from, to)
	w.trace.add("log", "partition %d has lost what stood from %d to %d", l.index, from, to)
	if s.machine%2 == 0 {
		l.stream.Forget()
		l.stream.Delete()
		l.stream.Restore()
	}
}

// crashIf crashes the machine if p still runs on it.
func (m *machine) crashIf(p *process) {
	if m.process() == p {
		m.crash()
	}
}

// revive starts the machine again after d.
func (w *World) revive(m *machine, d time.Duration) {
	w.later(d, func() {
		m.resume()
		if m.drive != nil {
			m.drive.mu.Lock()
			m.drive.broken = false
			m.drive.mu.Unlock()
		}
		w.mustStart(m)
		w.readAll(m)
	})
}

// readAll reads everything on m as soon as it is ready: what a restart has
// forgotten shows in the copies that it kept.
func (w *World) readAll(m *machine) {
	p := m.process()
	if p == nil {
		return
	}
	select {
	case <-p.node.Ready():
	case <-p.dead:
		return
	case <-time.After(2 * lease):
	}
	for _, k := range append(append([]string{w.plan.page}, w.plan.keys...), w.plan.registers[0], w.plan.bracketed[0]) {
		w.read(m, k, consistency.Level{}, nil)
	}
}

// later runs f after d, unless the run ends before; everything is mended by
// then.
func (w *World) later(d time.Duration, f func()) {
	w.background(func() {
		time.Sleep(d)
		if w.ctx.Err() == nil {
			f()
		}
	})
}
