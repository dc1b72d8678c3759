package exhaustive

// Where another node loads the key, a reader waits for what it announces rather
// than load too. The first node loads here, and a reader of the second waits.

// waiter is a reader who waits for the other node's load. need is the fence of
// the key as its node knew it; mustSee is as a joiner's.
type waiter struct {
	waits   bool
	need    uint8
	mustSee demand
}

// announcement is what a load has brought, and where its node stood then. It may
// be heard at any time from then on.
type announcement struct {
	value
	at uint8
}

// await lets a reader of the second node wait, and take what it hears.
func (m *machine) await(s *state, give give) {
	old := &s.nodes[1]
	w := m.worlds.at(s, old.world, old.restored)
	// Who asks after the load's end is told what was announced, for a while.
	if !s.waiter.waits && s.nodes[0].load.phase != 0 {
		lapsed := s.now-old.fresh >= lease && m.lacks != leaseAtTurn
		if !lapsed && !w.Bypass(theKey, nil) {
			t := *s
			t.waiter = waiter{waits: true, need: m.fence(old), mustSee: m.demands(s, 1)}
			m.met["waits for the other's load"]++
			give(step{1, "asks for the other's load"}, t, "")
		}
	}
	a := s.announced
	if !s.waiter.waits || a.born == 0 || old.applied < a.at {
		return
	}
	if a.born < s.waiter.need && m.lacks != needAtTurn || !w.alive(a.value, 0) && m.lacks != tagsAtTurn && m.lacks != needAtTurn {
		return
	}
	t := *s
	n := &t.nodes[1]
	broken := ""
	if a.row == 0 && s.waiter.mustSee != nothing {
		broken = demands[s.waiter.mustSee] + ": a reader took the old row from the other's load"
	}
	if w.alive(a.value, 0) && !w.open() && a.born >= n.guard {
		n.memory = a.value
	}
	t.waiter = waiter{}
	m.met["took what the other has loaded"]++
	give(step{1, "takes what the other has loaded"}, t, broken)
}
