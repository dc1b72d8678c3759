package exhaustive

import "github.com/raptorflow/tercet/internal/events"

// write takes the writer's next step. A writer that dies is one that takes no
// further step, which the search tries at each of them; a zombie is one that
// takes it after somebody ended its bracket.
func (m *machine) write(s *state, give give) {
	bracket := m.scope.change == intentKey || m.scope.change == intentTag
	w := &s.writer
	t := *s
	switch w.phase {
	case idle:
		if bracket {
			if at, ok := t.append(record{kind: m.scope.change}); ok {
				t.writer.at, t.writer.landed, t.writer.phase = at, s.now, published
				give(step{writing, "opens the bracket"}, t, "")
			}
			return
		}
		t.row, t.writer.phase = 1, committed
		give(step{writing, "commits"}, t, "")
	case committed:
		if at, ok := t.append(record{kind: m.scope.change}); ok {
			t.writer.at, t.writer.landed, t.writer.phase = at, s.now, published
			give(step{writing, "publishes"}, t, "")
		}
	case published:
		if m.lacks == everywhereInBracket {
			t.writer.phase = everywhere
			give(step{writing, "does not wait for the others"}, t, "")
		} else if s.nodes[0].applied >= w.at {
			t.writer.phase, t.writer.heard = asking, s.nodes[0].heard
			give(step{writing, "asks the members"}, t, "")
		}
	case asking:
		b := &s.nodes[1]
		if !w.acked[b.life] && (b.applied >= w.at || m.lacks == applyBeforeAck) {
			t := *s
			t.writer.acked[b.life] = true
			give(step{1, "confirms"}, t, "")
		}
		if how := m.everywhere(s); how != "" {
			m.met[how]++
			t.writer.phase = everywhere
			give(step{writing, how}, t, "")
		}
	case everywhere:
		if !bracket {
			return
		}
		if m.lacks == commitBeforeEnd {
			if _, ok := t.append(record{kind: end}); ok {
				t.writer.phase = ended
				give(step{writing, "ends the bracket"}, t, "")
			}
			return
		}
		if s.marked {
			return // its transaction meets the mark
		}
		t.row, t.writer.phase = 1, inBracket
		if s.resolver == 2 {
			m.met["a zombie committed"]++
		}
		give(step{writing, "commits"}, t, "")
	case inBracket:
		if _, ok := t.append(record{kind: end}); ok {
			t.writer.phase = done
			give(step{writing, "ends the bracket"}, t, "")
		}
	case ended:
		t.row, t.writer.phase = 1, done
		give(step{writing, "commits"}, t, "")
	}
}

// everywhere says how an Everywhere write knows that nobody can serve any more
// what was before it; empty: it does not know yet.
func (m *machine) everywhere(s *state) (how string) {
	w, a := &s.writer, &s.nodes[0]
	world := m.worlds.at(s, a.world, a.restored)
	how = "returns, all confirmed"
	for one := range world.Members() {
		if one.Incarnation == incarnation(0, 0) || one.First > events.Position(w.at) || world.Proves(one, events.Position(w.at)) {
			continue
		}
		life := one.Incarnation[1] - 1
		switch {
		case w.acked[life]:
		case m.lacks == membersOfTheLog && s.now-w.heard[life] >= 1:
		case s.now-w.heard[life] >= lease || m.lacks == leaseWait:
			how = "returns, a lease has passed"
		default:
			return ""
		}
	}
	return how
}

// resolve ends the bracket in the writer's stead, once its commit is impossible
// or has happened.
func (m *machine) resolve(s *state, give give) {
	b := &s.nodes[1]
	if !m.scope.resolver || s.resolver == 2 {
		return
	}
	if s.resolver == 0 {
		open := false
		for range m.worlds.at(s, b.world, b.restored).Brackets() {
			open = true
		}
		if !open {
			return
		}
		t := *s
		t.resolver = 1
		t.marked = s.row == 0 && m.lacks != markBeforeEnd
		give(step{1, "marks the bracket as abandoned"}, t, "")
		return
	}
	t := *s
	if _, ok := t.append(record{kind: end, node: 1}); ok {
		t.resolver = 2
		m.met["resolved"]++
		give(step{1, "ends the bracket in the writer's stead"}, t, "")
	}
}
