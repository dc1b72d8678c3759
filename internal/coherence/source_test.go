package coherence_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// fenced returns a World that has applied fences in their order.
func fenced(fences ...*events.Invalidate) *coherence.World {
	w := coherence.New()
	for i, f := range fences {
		p := events.Position(i + 1)
		w.Apply(coherence.Step{
			Mark:   events.Mark{Position: p, ID: events.ID{Counter: uint64(p)}},
			Record: events.Record{Changes: []events.Change{f}},
		})
	}
	return w
}

func fence(source string, s events.Scope) *events.Invalidate {
	return &events.Invalidate{Scope: s, Source: source}
}

// P3: a load must not read behind the change of any fence that covers it.
func TestRequiredSource(t *testing.T) {
	w := fenced(
		fence("10", events.Scope{Keys: []string{"a"}}),
		fence("20", events.Scope{Prefixes: []string{"p:"}}),
		fence("30", events.Scope{Tags: []string{"t"}}),
		fence("40", events.Scope{Globs: []string{"*z"}}),
		fence("5", events.Scope{Keys: []string{"a"}}), // published late
		fence("", events.Scope{Keys: []string{"none"}}),
	)
	again, err := coherence.Restore(w.AppendState(nil), noFences())
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*coherence.World{"applied": w, "restored": again, "begun anew": coherence.Successor(w)} {
		for _, c := range []struct{ key, tag, want string }{
			{"a", "", "10"}, {"p:1", "", "20"}, {"p:1", "t", "30"}, {"a", "t", "30"}, {"az", "", "40"}, {"none", "", ""},
		} {
			if got, known := w.RequiredSource(c.key, slices.Values([]string{c.tag})); got != c.want || !known {
				t.Errorf("%s: %q with tag %q needs %q, known: %v, want %q", name, c.key, c.tag, got, known, c.want)
			}
		}
	}
}

// Fences that are too many or too wide to be kept one by one count for all.
func TestOldSourcesCountForAll(t *testing.T) {
	var many []*events.Invalidate
	for i := range 100 {
		many = append(many, fence(fmt.Sprint(1000-i), events.Scope{Keys: []string{fmt.Sprint("k", i)}}))
	}
	w := fenced(many...)
	if got, _ := w.RequiredSource("other", nil); got != "1000" {
		t.Errorf("a key that no fence names needs %q, want the latest of all that were let go: 1000", got)
	}
	var wide events.Scope
	for i := range 1000 {
		wide.Keys = append(wide.Keys, fmt.Sprint("key:", i))
	}
	if got, _ := fenced(fence("7", wide)).RequiredSource("other", nil); got != "7" {
		t.Errorf("a key beside a wide fence needs %q, want 7", got)
	}
}

// P19: a record that can't be read may have told one, for any key, until as many
// that could be read have followed it, or its time is over.
func TestUnreadRecordsHideSources(t *testing.T) {
	unread := func() (*coherence.World, events.Position) {
		w := fenced(fence("10", events.Scope{Keys: []string{"a"}}))
		p := w.Mark().Position + 1
		w.Apply(coherence.Step{Mark: events.Mark{Position: p, ID: events.ID{Counter: 99}, Time: 1}, Err: events.ErrUnknown})
		return w, p
	}
	w, p := unread()
	for k, want := range map[string]string{"a": "10", "other": ""} {
		if got, known := w.RequiredSource(k, nil); got != want || known {
			t.Errorf("%q needs %q, known: %v, want %q, not known", k, got, known, want)
		}
	}
	for i := range events.Position(32) {
		f := fence(fmt.Sprint(20+i), events.Scope{Keys: []string{"b"}})
		w.Apply(coherence.Step{Mark: events.Mark{Position: p + 1 + i, ID: events.ID{Counter: 100 + uint64(i)}, Time: 1}, Record: events.Record{Changes: []events.Change{f}}})
	}
	if got, known := w.RequiredSource("a", nil); got != "20" || !known {
		t.Errorf("32 fences later a key needs %q, known: %v, want what was told next: 20", got, known)
	}
	w, p = unread()
	w.Prune(p)
	if got, known := w.RequiredSource("a", nil); got != "10" || !known {
		t.Errorf("once its fence is forgotten a key needs %q, known: %v, want 10", got, known)
	}
}

func TestCompareSources(t *testing.T) {
	const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct {
		a, b string
		sign int
	}{
		{"", "", 0}, {"", "1", -1}, {"1", "", 1}, {"9", "10", -1}, {"010", "10", 0}, {"99999999999999999999999", "1", 1},
		{"16/B374D848", "16/B374D849", -1}, {"16/B374D848", "2/FFFFFFFF", 1}, {"0/a", "0/9", 1}, {"0/A", "0/a", 0},
		{"binlog.000007:154", "binlog.000006:999", 1}, {"binlog.000007:154", "binlog.000007:20", 1},
		{uuid + ":1-57", uuid + ":1-9", 1}, {"orders 5", "items 9", 0}, {"a1", "a1b", 0},
		{"a:1,b:5", "a:2,b:1", 0},
	} {
		got := coherence.CompareSources(c.a, c.b)
		if got < 0 != (c.sign < 0) || got > 0 != (c.sign > 0) {
			t.Errorf("%q against %q: %d, want the sign of %d", c.a, c.b, got, c.sign)
		}
	}
}

func FuzzCompareSources(f *testing.F) {
	f.Add("16/B374D848", "42")
	f.Fuzz(func(t *testing.T, a, b string) {
		if x, y := coherence.CompareSources(a, b), coherence.CompareSources(b, a); x < 0 != (y > 0) || x > 0 != (y < 0) {
			t.Errorf("%q against %q: %d, and the other way round %d", a, b, x, y)
		}
	})
}

// The second end of a bracket fences what the bracket covered, not everything.
func TestSecondEndFencesItsScope(t *testing.T) {
	w := coherence.New()
	scope := events.Scope{Keys: []string{"k"}, Tags: []string{"t"}}
	step := func(p events.Position, c events.Change) *coherence.Effects {
		return w.Apply(coherence.Step{Mark: events.Mark{Position: p, ID: events.ID{Counter: uint64(p)}}, Record: events.Record{Changes: []events.Change{c}}})
	}
	step(1, &events.EpochChange{Epoch: 1})
	step(2, &events.Intent{Bracket: events.BracketID{1}, Scope: scope})
	step(3, &events.End{Bracket: events.BracketID{1}, Scope: scope})
	e := step(4, &events.End{Bracket: events.BracketID{1}, Scope: scope})
	if len(e.Fences) != 1 || e.Fences[0].Key != "k" || len(e.Broad) != 1 || e.Broad[0].Name != "t" {
		t.Errorf("it fenced keys %v and %v, want k and the tag t", e.Fences, e.Broad)
	}
	copyAt3 := coherence.Copy{Key: "other", Epoch: w.Epoch(), Birth: 3}
	if life := w.Judge(copyAt3, coherence.Fence{}); life != coherence.Alive {
		t.Errorf("a copy that the bracket did not cover is %v", life)
	}
	step(5, &events.End{Bracket: events.BracketID{1}})
	if life := w.Judge(copyAt3, coherence.Fence{}); life != coherence.Dead {
		t.Errorf("an end that does not tell its scope left a copy %v", life)
	}
}
