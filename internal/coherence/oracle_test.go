package coherence_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// oracle judges copies by the definition and forgets nothing: a copy is dead
// if any hard fence above its birth covers it.
type oracle struct {
	fences   []oracleFence
	brackets map[events.BracketID]events.Scope
}

type oracleFence struct {
	at    events.Position
	soft  bool
	scope events.Scope
}

func newOracle() *oracle { return &oracle{brackets: map[events.BracketID]events.Scope{}} }

func (o *oracle) apply(s coherence.Step) {
	fence := func(scope events.Scope, soft bool) {
		o.fences = append(o.fences, oracleFence{at: s.Mark.Position, soft: soft, scope: scope})
	}
	if s.Err != nil {
		fence(events.Scope{All: true}, false)
		return
	}
	for _, c := range s.Record.Changes {
		switch c := c.(type) {
		case *events.Put:
			fence(events.Scope{Keys: []string{c.Key}}, false)
		case *events.Invalidate:
			fence(c.Scope, c.Soft)
		case *events.Intent:
			fence(c.Scope, false)
			if _, open := o.brackets[c.Bracket]; !open {
				o.brackets[c.Bracket] = c.Scope
			}
		case *events.End:
			scope, open := o.brackets[c.Bracket]
			if !open {
				scope = events.Scope{All: true}
			}
			fence(scope, false)
			delete(o.brackets, c.Bracket)
		case *events.EpochChange:
			// Nothing born before it lives; the epoch says so already, but for
			// a copy that was born in the new one below its opening.
			fence(events.Scope{All: true}, false)
		}
	}
}

func (o *oracle) judge(c coherence.Copy, epoch events.Epoch) coherence.Life {
	if c.Epoch != epoch || epoch == 0 || o.bypass(c) {
		return coherence.Dead
	}
	life := coherence.Alive
	for _, f := range o.fences {
		if c.Birth >= f.at || !covers(f.scope, c) {
			continue
		}
		if !f.soft {
			return coherence.Dead
		}
		life = coherence.Stale
	}
	return life
}

func (o *oracle) bypass(c coherence.Copy) bool {
	for _, s := range o.brackets {
		if covers(s, c) {
			return true
		}
	}
	return false
}

func covers(s events.Scope, c coherence.Copy) bool {
	if s.All || slices.Contains(s.Keys, c.Key) {
		return true
	}
	if c.Tags != nil {
		for t := range c.Tags {
			if slices.Contains(s.Tags, t) {
				return true
			}
		}
	}
	for _, p := range s.Prefixes {
		if strings.HasPrefix(c.Key, p) {
			return true
		}
	}
	for _, g := range s.Globs {
		if events.MatchGlob(c.Key, g) {
			return true
		}
	}
	return false
}

func (c oracleFence) String() string {
	return fmt.Sprintf("%d soft=%v%s", c.at, c.soft, scopeText(c.scope))
}
