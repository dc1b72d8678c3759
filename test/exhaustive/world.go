package exhaustive

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

const (
	theKey = "k"
	theTag = "t"
)

var theBracket = events.BracketID{1}

// prefix names a World: what it has applied, and where it was restored.
type prefix struct {
	log           [maxLog]record
	end, restored uint8
}

// known is a World behind a prefix of the log and what its last record asked
// of the tiers. It is only read.
type known struct {
	*coherence.World
	fence, put bool
	pulse      *events.Pulse
}

// worlds keeps the Worlds that the search met: a World is a function of what
// it applied, so states need not hold one.
type worlds struct {
	by map[prefix]known
	// wrong is how a World's verdict differs from the definition; empty: it
	// does not.
	wrong string
}

func (ws *worlds) at(s *state, world, restored uint8) known {
	p := prefix{end: world, restored: restored}
	copy(p.log[:], s.log[:world])
	if w, ok := ws.by[p]; ok {
		return w
	}
	w := ws.build(p)
	ws.by[p] = w
	if ws.wrong == "" {
		ws.wrong = w.differs(p)
	}
	return w
}

func (ws *worlds) build(p prefix) known {
	k := known{World: coherence.New()}
	kept := map[string]coherence.BroadFence{}
	for i := range p.end {
		at := events.Position(i + 1)
		e := k.Apply(coherence.Step{
			Mark:   events.Mark{Position: at, ID: events.ID{Publisher: incarnation(p.log[i].node, p.log[i].life), Counter: uint64(at)}},
			Record: events.Record{Changes: []events.Change{p.change(i)}},
		})
		if e.Void {
			clear(kept)
		}
		for _, f := range e.Broad {
			kept[string(byte(f.Kind))+f.Name] = f
		}
		k.fence, k.put, k.pulse = len(e.Fences) > 0, len(e.Puts) > 0, nil
		if len(e.Pulses) > 0 {
			k.pulse = e.Pulses[0]
		}
		if uint8(at) == p.restored {
			w, err := coherence.Restore(k.AppendState(nil), maps.Values(kept))
			if err != nil {
				panic(fmt.Sprintf("exhaustive: a World can't read its own state: %v", err))
			}
			k.World = w
		}
	}
	return k
}

// change is what the record at index i says. What a pulse knew of the log it
// had from the same log, so its digest is that of the prefix it reports.
func (p *prefix) change(i uint8) events.Change {
	keys, tags := events.Scope{Keys: []string{theKey}}, events.Scope{Tags: []string{theTag}}
	switch r := p.log[i]; r.kind {
	case opening:
		return &events.EpochChange{Epoch: 1}
	case pulse:
		c := &events.Pulse{Node: events.NodeID([]string{"A", "B"}[r.node]), Incarnation: incarnation(r.node, r.life),
			Number: uint64(r.number), Applied: events.Position(r.applied), Settled: true}
		var d events.Digest
		for j := range r.applied {
			if p.log[j].kind == opening {
				d = events.Digest{}
			}
			c.Before = d
			d = d.Next(events.ID{Publisher: incarnation(p.log[j].node, p.log[j].life), Counter: uint64(j + 1)})
		}
		c.Digest = d
		c.Epoch = epochOf
		return c
	case fenceKey:
		return &events.Invalidate{Scope: keys}
	case fenceTag:
		return &events.Invalidate{Scope: tags}
	case put:
		return &events.Put{Key: theKey}
	case intentKey:
		return &events.Intent{Bracket: theBracket, Scope: keys, Deadline: time.UnixMilli(1)}
	case intentTag:
		return &events.Intent{Bracket: theBracket, Scope: tags, Deadline: time.UnixMilli(1)}
	case end:
		return &events.End{Bracket: theBracket}
	}
	panic("exhaustive: no such record")
}

// epochOf is the epoch of every scope: its log begins with the same record.
var epochOf = func() events.Epoch {
	w := coherence.New()
	w.Apply(coherence.Step{
		Mark:   events.Mark{Position: 1, ID: events.ID{Publisher: incarnation(0, 0), Counter: 1}},
		Record: events.Record{Changes: []events.Change{&events.EpochChange{Epoch: 1}}},
	})
	return w.Epoch()
}()

// copyOf is how a World is asked about a value.
func copyOf(v value) coherence.Copy {
	return coherence.Copy{Key: theKey, Epoch: epochOf, Birth: events.Position(v.born), Tags: slices.Values([]string{theTag})}
}

// alive is the World's verdict on v beside the fence of the key.
func (k known) alive(v value, fence uint8) bool {
	return k.Judge(copyOf(v), coherence.Fence{Hard: events.Position(fence)}) == coherence.Alive
}

// aliveUntagged is the verdict on a copy whose tags are not known yet.
func (k known) aliveUntagged(born, fence uint8) bool {
	c := coherence.Copy{Key: theKey, Epoch: epochOf, Birth: events.Position(born)}
	return k.Judge(c, coherence.Fence{Hard: events.Position(fence)}) == coherence.Alive
}

// open reports whether a bracket covers the key, as what is loaded under it
// would tell.
func (k known) open() bool { return k.Bypass(theKey, slices.Values([]string{theTag})) }

// differs compares the verdicts of a World with the definition: a copy is dead
// if a fence that covers it lies above its birth, or inside an open bracket,
// and alive otherwise.
func (k known) differs(p prefix) string {
	if p.end == 0 {
		return ""
	}
	var broad, ofKey uint8 // the latest fence of each kind
	bracket := none
	for i := range p.end {
		at := i + 1
		switch r := p.log[i].kind; r {
		case opening, fenceTag:
			broad = at
		case fenceKey, put:
			ofKey = at
		case intentKey:
			bracket, ofKey = r, at
		case intentTag:
			bracket, broad = r, at
		case end:
			if bracket == intentKey {
				ofKey = at
			} else {
				broad = at // of the tag; of everything where no bracket is known
			}
			bracket = none
		}
	}
	for born := uint8(1); born <= p.end; born++ {
		dead := bracket != none || born < ofKey || born < broad
		if k.alive(value{born: born}, ofKey) == dead {
			return fmt.Sprintf("a copy born at %d is judged alive=%v by a World at %d", born, dead, p.end)
		}
	}
	return ""
}
