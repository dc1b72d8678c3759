package exhaustive

// machine takes the steps of a fleet.
type machine struct {
	scope  scope
	lacks  without
	worlds worlds
	// met counts what the search came across, so that a scope in which nothing
	// happens is not taken for a proof.
	met map[string]int
}

func newMachine(s scope, lacks without) *machine {
	return &machine{scope: s, lacks: lacks, worlds: worlds{by: map[prefix]known{}}, met: map[string]int{}}
}

// start is the state in which every search begins: an epoch, and both nodes
// have joined it.
func (m *machine) start() state {
	s := state{end: 3}
	s.log[0] = record{kind: opening}
	for i := range s.nodes {
		s.log[1+i] = record{kind: pulse, node: uint8(i), number: 1, applied: 1}
		n := &s.nodes[i]
		n.world, n.applied, n.begun, n.counted = 3, 3, 1, 1
		if m.scope.crash && i == 1 {
			n.disk.place, n.synced.place = 3, 3
		}
	}
	return s
}

// next gives every state that one step leads to, with the step's name and, if
// a read of that step breaks a guarantee, which.
func (m *machine) next(s *state, give give) {
	if s.now < m.scope.ticks {
		t := *s
		t.now++
		give(step{clock, "a tick passes"}, t, "")
	}
	m.write(s, give)
	m.resolve(s, give)
	for i := range s.nodes {
		m.follow(s, i, give)
		m.pulse(s, i, give)
		if m.scope.loads[i] {
			m.load(s, i, give)
		}
		if m.scope.shared {
			m.fetch(s, i, give)
		}
	}
	if m.scope.turns {
		m.await(s, give)
	}
	if m.scope.strong && s.strong.phase == 0 {
		t := *s
		n := &t.nodes[1]
		t.strong = strong{phase: 1, asked: n.begun + 1, mustSee: s.writer.hasLanded()}
		if m.lacks == ownPulse && n.begun > n.counted {
			t.strong.asked = n.begun
		}
		give(step{1, "is asked for a strong read"}, t, "")
	}
	if m.scope.crash && s.nodes[1].life == 0 {
		for _, kept := range []shelf{s.nodes[1].synced, s.nodes[1].disk} {
			t := *s
			n := node{life: 1, world: kept.place, applied: kept.place, restored: kept.place, disk: kept, synced: kept, fresh: never}
			if m.lacks == joinGate {
				n.fresh = t.now
			}
			t.nodes[1] = n
			t.strong = strong{}
			m.met["crashes"]++
			give(step{1, "crashes and starts again"}, t, "")
			if kept == s.nodes[1].disk {
				break
			}
		}
	}
}

// follow takes the next record into the tiers, and in a step of its own tells
// readers and writers that it is there.
func (m *machine) follow(s *state, i int, give give) {
	old := &s.nodes[i]
	if old.world < s.end {
		t := *s
		n := &t.nodes[i]
		n.world++
		if m.lacks == tiersBeforeApplied {
			n.applied = n.world
		} else {
			m.act(&t, i)
		}
		give(step{i, "applies a record in its tiers"}, t, "")
	}
	if m.lacks == tiersBeforeApplied {
		// The tiers come later, of one record at a time.
		if w := m.worlds.at(s, old.world, old.restored); old.guard < old.world && (w.fence || w.put) {
			t := *s
			m.act(&t, i)
			give(step{i, "applies late"}, t, "")
		}
		return
	}
	if old.applied < old.world {
		t := *s
		n := &t.nodes[i]
		n.applied = n.world
		if n.due != 0 {
			if n.t0[n.due] > n.fresh {
				n.fresh = n.t0[n.due]
			}
			n.counted, n.due = max(n.counted, n.due), 0
		}
		if m.scope.crash && i == 1 {
			if f := n.guard; f > n.disk.fence {
				n.disk.fence = f
				if n.disk.copy.born < f {
					n.disk.copy = value{}
				}
			}
			n.disk.place = n.applied
		}
		give(step{i, "publishes its place"}, t, "")
	}
	if m.scope.crash && i == 1 && old.synced != old.disk {
		t := *s
		t.nodes[i].synced = old.disk
		give(step{1, "syncs its disk"}, t, "")
	}
}

// act does to memory what the record at the World's place asks for.
func (m *machine) act(t *state, i int) {
	n := &t.nodes[i]
	w := m.worlds.at(t, n.world, n.restored)
	if w.fence || w.put {
		held := n.memory.born != 0
		n.guard, n.memory = n.world, value{}
		if w.put && (held || i == 0) {
			n.memory = value{row: 1, born: n.world}
		}
	}
	if w.pulse == nil {
		return
	}
	switch w.pulse.Incarnation {
	case incarnation(uint8(i), n.life):
		n.due = uint8(w.pulse.Number)
		if m.lacks == leaseFromStart {
			n.t0[n.due] = t.now
		}
	case incarnation(1, 0), incarnation(1, 1):
		if i == 0 {
			n.heard[w.pulse.Incarnation[1]-1] = t.now
		}
	}
}

// pulse notes the time and sets out; the record lands in a step of its own, or
// never.
func (m *machine) pulse(s *state, i int, give give) {
	old := &s.nodes[i]
	if !old.flying && old.chain.said == 0 && old.begun < 1+m.scope.pulses[i] {
		t := *s
		n := &t.nodes[i]
		n.begun++
		n.flying, n.reports, n.t0[n.begun] = true, n.applied, t.now
		give(step{i, "begins a pulse"}, t, "")
	}
	if m.scope.shortcut {
		m.conditional(s, i, give)
		if old.chain.said != 0 {
			m.acknowledged(s, i, give)
		}
		if old.behind != 0 {
			m.decide(s, i, give)
			return
		}
	}
	if old.flying {
		t := *s
		n := &t.nodes[i]
		n.flying = false
		r := record{kind: pulse, node: uint8(i), life: n.life, number: n.begun, applied: n.reports}
		if _, ok := t.append(r); ok {
			give(step{i, "'s pulse lands"}, t, "")
		}
	}
}

// load asks the origin: the birth is noted, the origin reads, the copy is kept
// if it may be. A reader may join in between.
func (m *machine) load(s *state, i int, give give) {
	old := &s.nodes[i]
	w := m.worlds.at(s, old.world, old.restored)
	switch old.load.phase {
	case 0:
		if w.Bypass(theKey, nil) && m.lacks != bypassUnkept && m.lacks != bypassUnshared {
			return // past the cache: nobody else sees what it brings
		}
		t := *s
		n := &t.nodes[i]
		n.load = load{phase: 1, birth: min(n.world, n.applied)}
		give(step{i, "begins a load"}, t, "")
	case 1:
		t := *s
		n := &t.nodes[i]
		n.load.phase, n.load.row = 2, t.row
		give(step{i, "'s origin answers"}, t, "")
	case 2:
		m.land(s, i, w, give)
	}
	if p := old.load.phase; m.scope.joins && !old.joiner.joined && (p == 1 || p == 2) && m.mayJoin(s, i, w) {
		t := *s
		t.nodes[i].joiner = joiner{joined: true, mustSee: m.demands(s, i)}
		m.met["joined"]++
		give(step{i, "'s load is joined"}, t, "")
	}
}

func (m *machine) mayJoin(s *state, i int, w known) bool {
	n := &s.nodes[i]
	if m.lacks != leaseAtJoin && s.now-n.fresh >= lease {
		return false
	}
	if m.lacks == checkAtJoin {
		return true
	}
	if w.Bypass(theKey, nil) && m.lacks != bypassUnshared {
		return false
	}
	// The tags are not known before the load ends.
	return n.load.birth >= m.fence(n) && (m.lacks == bypassUnshared || w.aliveUntagged(n.load.birth, m.fence(n)))
}

// fence is the key's fence as this node's tiers know it.
func (m *machine) fence(n *node) uint8 { return max(n.guard, n.disk.fence) }

// land keeps a loaded copy where it may be kept, and hands it to who joined.
func (m *machine) land(s *state, i int, w known, give give) {
	t := *s
	n := &t.nodes[i]
	v := value{row: n.load.row, born: n.load.birth}
	if m.lacks == birthBeforeLoad {
		v.born = n.applied
	}
	n.load = load{phase: 3}
	broken := ""
	if n.joiner.joined {
		takes := w.alive(v, 0) && !w.open() || m.lacks == checkWhoJoined || m.lacks == checkAtJoin || m.lacks == bypassUnshared
		if takes && v.row == 0 && n.joiner.mustSee != nothing {
			broken = demands[n.joiner.mustSee] + ": a reader joined a load and got the old row"
		}
		n.joiner = joiner{}
	}
	if w.alive(v, 0) && !w.open() || m.lacks == bypassUnkept {
		if v.born >= n.guard || m.lacks == checkAtInsert {
			n.memory = v
			m.met["kept"]++
			if m.scope.shared {
				t.stored[i] = v
			}
			if m.scope.turns && i == 0 {
				t.announced = announcement{v, n.applied}
			}
		}
		if m.scope.crash && i == 1 && (v.born >= n.disk.fence || m.lacks == checkAtInsert) {
			n.disk.copy = v
		}
	} else {
		m.met["refused at insert"]++
	}
	give(step{i, "'s load ends"}, t, broken)
}

// fetch finds a copy in the shared tier, judges and serves it, and in a step of
// its own brings it nearer.
func (m *machine) fetch(s *state, i int, give give) {
	n := &s.nodes[i]
	if v := n.carried; v.born != 0 {
		t := *s
		if m.lacks == birthKept {
			v.born = n.applied
		}
		if v.born >= n.guard {
			t.nodes[i].memory = v
		}
		t.nodes[i].carried = value{}
		give(step{i, "brings the copy nearer"}, t, "")
		return
	}
	if !m.fresh(s, i) {
		return
	}
	w := m.worlds.at(s, n.world, n.restored)
	for _, v := range s.stored {
		if v.born == 0 || v == n.memory || !w.alive(v, m.fence(n)) && m.lacks != verdictOnShared {
			continue
		}
		t := *s
		t.nodes[i].carried = v
		m.met["served from the shared tier"]++
		give(step{i, "fetches from the shared tier"}, t, m.judge(s, i, v, "from the shared tier"))
	}
}
