package exhaustive

import (
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
)

// facts are what a node knows when it decides about a read: the real rule is
// asked.
func (m *machine) facts(s *state, i int) consistency.Facts {
	n := &s.nodes[i]
	return consistency.Facts{
		Age: time.Duration(s.now-n.fresh) * time.Second, Lease: lease * time.Second, Policy: events.PolicyFence,
		Epoch: epochOf, Applied: events.Position(n.applied), Pulsed: uint64(n.counted), Asked: uint64(s.strong.asked),
	}
}

func (m *machine) fresh(s *state, i int) bool {
	return m.lacks == leaseAtRead || consistency.Decide(consistency.Eventual(), 0, m.facts(s, i)) == consistency.Serve
}

// demands returns what makes the old row wrong for a read that begins now.
func (m *machine) demands(s *state, i int) demand {
	w := &s.writer
	bracket := m.scope.change == intentKey || m.scope.change == intentTag
	switch {
	case bracket && s.row == 1:
		return g4b
	case bracket:
		return nothing
	case w.phase == everywhere:
		return g5
	case w.hasLanded() && s.nodes[i].applied >= w.at:
		return g1
	}
	return nothing
}

// check judges every read that could be answered from what the nodes hold in
// this state; it returns the first guarantee that one would break.
func (m *machine) check(s *state) (broken string) {
	for i := range s.nodes {
		n := &s.nodes[i]
		for _, copy := range []struct {
			value
			fence uint8
			where string
		}{{n.memory, 0, "from memory"}, {n.disk.copy, n.disk.fence, "from disk"}} {
			if copy.born == 0 || !m.worlds.at(s, n.world, n.restored).alive(copy.value, copy.fence) {
				continue
			}
			if broken = m.judge(s, i, copy.value, copy.where); broken != "" {
				return broken
			}
		}
	}
	return ""
}

// judge says which guarantee a read of v at node i would break now, at the
// levels that it would be served at.
func (m *machine) judge(s *state, i int, v value, where string) (broken string) {
	if !m.fresh(s, i) {
		return ""
	}
	by := func(name string) string {
		return name + ": " + [...]string{"A", "B"}[i] + " serves the old row " + where
	}
	w := &s.writer
	if m.scope.change == intentKey || m.scope.change == intentTag {
		if v.row != s.row {
			return by("G4b")
		}
		m.met["served under a bracket's protocol"]++
		return ""
	}
	if v.row == 1 {
		m.met["served the new row"]++
		return ""
	}
	m.met["served the old row"]++
	if d := m.demands(s, i); d != nothing {
		return by(demands[d])
	}
	if !w.hasLanded() {
		return ""
	}
	f := m.facts(s, i)
	token := consistency.Token{}.With(0, consistency.Point{Epoch: epochOf, Position: events.Position(w.at)})
	switch {
	case consistency.Decide(consistency.Session(token), 0, f) == consistency.Serve:
		return by("G2")
	case w.landed <= s.now-1 && consistency.Decide(consistency.Bounded(time.Second), 0, f) == consistency.Serve:
		return by("G3")
	case i == 1 && s.strong.mustSee && consistency.Decide(consistency.Strong(), 0, f) == consistency.Serve:
		return by("G4")
	}
	return ""
}
