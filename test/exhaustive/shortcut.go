package exhaustive

// A pulse may be proved by its acknowledgement: the log takes it right behind
// the last record that its node has applied, or behind an earlier such pulse of
// the node's, or refuses it.

// chain is a node's latest pulse that the log took this way.
type chain struct {
	// tip is where it stands, base the last record in front of it that can kill
	// copies.
	tip, base uint8
	// said is its number while the log's answer is on its way.
	said uint8
}

// conditional begins a pulse that the log is to take behind a certain record.
func (m *machine) conditional(s *state, i int, give give) {
	old := &s.nodes[i]
	if old.fresh == never || old.flying || old.chain.said != 0 || old.begun >= 1+m.scope.pulses[i] {
		return
	}
	last, base := old.world, old.world
	if c := old.chain; c.tip > last && c.base <= last {
		last, base = c.tip, c.base
	}
	if old.applied < base {
		return
	}
	t := *s
	n := &t.nodes[i]
	n.begun++
	n.flying, n.reports, n.t0[n.begun] = true, n.applied, t.now
	n.behind, n.chain.base = last, base
	give(step{i, "begins a pulse behind a record"}, t, "")
}

// decide lets the log take such a pulse, or refuse it, whereupon it is published
// like any other.
func (m *machine) decide(s *state, i int, give give) {
	t := *s
	n := &t.nodes[i]
	if s.end != n.behind && m.lacks != pulseBehindLast {
		n.behind = 0
		m.met["a pulse refused"]++
		give(step{i, "'s pulse is refused"}, t, "")
		return
	}
	n.flying, n.behind = false, 0
	r := record{kind: pulse, node: uint8(i), life: n.life, number: n.begun, applied: n.reports}
	if at, ok := t.append(r); ok {
		n.chain.tip, n.chain.said = at, n.begun
		give(step{i, "'s pulse is taken"}, t, "")
	}
}

// acknowledged makes the node fresh by the log's answer. The pulse may have come
// back before it.
func (m *machine) acknowledged(s *state, i int, give give) {
	t := *s
	n := &t.nodes[i]
	n.fresh = max(n.fresh, n.t0[n.chain.said])
	n.counted, n.chain.said = max(n.counted, n.chain.said), 0
	m.met["fresh by an acknowledgement"]++
	give(step{i, "hears that its pulse was taken"}, t, "")
}
