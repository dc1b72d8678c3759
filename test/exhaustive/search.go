package exhaustive

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// step is what happened between two states.
type step struct {
	who  int
	what string
}

// who else takes steps.
const (
	clock   = -1
	writing = -2
)

func (x step) String() string {
	switch x.who {
	case clock:
		return x.what
	case writing:
		return "the writer " + x.what
	}
	return [...]string{"A ", "B "}[x.who] + x.what
}

// give receives a state that a step leads to, and the guarantee that a read
// within the step broke; empty: none.
type give = func(x step, t state, broken string)

// result is what a search found.
type result struct {
	states, steps int
	// broken is the guarantee that was broken first, by as few steps as
	// possible, and trace how; empty if the scope is sound.
	broken string
	trace  string
	met    map[string]int
}

// search visits every state that the scope's machine can reach, nearest first,
// and ends early at one in which a guarantee is broken.
func search(s scope, lacks without) result {
	m := newMachine(s, lacks)
	type visit struct {
		state
		from int32
		by   step
	}
	var (
		seen   = map[uint64]int32{}
		seed   = maphash.MakeSeed()
		visits []visit
		steps  int
		r      result
	)
	trace := func(at int32, last step) string {
		lines := []string{last.String()}
		for ; visits[at].from >= 0; at = visits[at].from {
			lines = append(lines, visits[at].by.String())
		}
		var b strings.Builder
		for i := len(lines) - 1; i >= 0; i-- {
			fmt.Fprintf(&b, "%3d %s\n", len(lines)-i, lines[i])
		}
		return b.String()
	}
	arrive := func(from int32, by step, t state, broken string) {
		if broken != "" && r.broken == "" {
			r.broken, r.trace = broken, trace(from, by)
		}
		h := maphash.Comparable(seed, t)
		if i, ok := seen[h]; ok {
			if visits[i].state != t {
				panic("exhaustive: two states share a hash; run again")
			}
			return
		}
		seen[h] = int32(len(visits))
		visits = append(visits, visit{t, from, by})
		if broken := m.check(&t); broken != "" && r.broken == "" {
			r.broken = broken
			if from >= 0 {
				r.trace = trace(from, by)
			}
		}
		if m.worlds.wrong != "" && r.broken == "" {
			r.broken, r.trace = "G1: "+m.worlds.wrong, trace(max(from, 0), by)
		}
	}
	arrive(-1, step{}, m.start(), "")
	for at := int32(0); at < int32(len(visits)) && r.broken == ""; at++ {
		now := visits[at].state
		m.next(&now, func(x step, t state, broken string) {
			steps++
			arrive(at, x, t, broken)
		})
	}
	r.states, r.steps, r.met = len(visits), steps, m.met
	return r
}
