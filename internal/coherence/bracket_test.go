package coherence_test

import (
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// While a bracket is open a copy that it covers is dead, however late it was
// born: a value that is Put meanwhile is not the database's. Its end is a
// fence, so that only what was born behind it lives.
func TestNothingLivesInsideABracket(t *testing.T) {
	w := coherence.New()
	at := events.Position(0)
	apply := func(c events.Change) {
		at++
		w.Apply(coherence.Step{
			Mark:   events.Mark{Position: at, ID: events.ID{Counter: uint64(at)}},
			Record: events.Record{Changes: []events.Change{c}},
		})
	}
	bracket := events.BracketID{1}
	apply(&events.EpochChange{Epoch: 7})
	apply(&events.Intent{Bracket: bracket, Scope: events.Scope{Keys: []string{"k"}, Tags: []string{"t"}}, Deadline: time.UnixMilli(1)})
	apply(&events.Put{Key: "k"})
	judge := func(key string, birth events.Position, tags ...string) (coherence.Life, coherence.Cause) {
		life, why := w.Explain(coherence.Copy{Key: key, Epoch: w.Epoch(), Birth: birth, Tags: func(yield func(string) bool) {
			for _, tag := range tags {
				if !yield(tag) {
					return
				}
			}
		}}, coherence.Fence{})
		return life, why.Cause
	}
	for key, tags := range map[string][]string{"k": nil, "other": {"t"}} {
		if life, cause := judge(key, at, tags...); life != coherence.Dead || cause != coherence.InBracket {
			t.Errorf("%s, born behind the intent, is %v for cause %d while the bracket is open", key, life, cause)
		}
	}
	if life, _ := judge("free", at); life != coherence.Alive {
		t.Errorf("a key that the bracket does not cover is %v", life)
	}
	apply(&events.End{Bracket: bracket})
	if life, _ := judge("other", at-1, "t"); life != coherence.Dead {
		t.Errorf("a copy born inside the bracket is %v after its end", life)
	}
	if life, _ := judge("other", at, "t"); life != coherence.Alive {
		t.Errorf("a copy born at the end is %v", life)
	}
}

// A member that was forgotten and pulses again joins anew, behind its pulse.
func TestForgottenMemberJoinsAnew(t *testing.T) {
	w := coherence.New()
	at := events.Position(0)
	member := events.Incarnation{9}
	apply := func(c events.Change) {
		at++
		w.Apply(coherence.Step{
			Mark:   events.Mark{Position: at, ID: events.ID{Counter: uint64(at)}},
			Record: events.Record{Changes: []events.Change{c}},
		})
	}
	first := func() (p events.Position) {
		for m := range w.Members() {
			if m.Incarnation == member {
				p = m.First
			}
		}
		return p
	}
	apply(&events.EpochChange{Epoch: 7})
	apply(&events.Pulse{Node: "n", Incarnation: member, Number: 1, Epoch: w.Epoch(), Applied: 1})
	if got := first(); got != 2 {
		t.Fatalf("joined at %d, want 2", got)
	}
	w.Forget(member)
	if got := first(); got != 0 {
		t.Fatalf("still a member since %d", got)
	}
	apply(&events.Pulse{Node: "n", Incarnation: member, Number: 2, Epoch: w.Epoch(), Applied: 2})
	if got := first(); got != 3 {
		t.Errorf("joined anew at %d, want 3", got)
	}
}
