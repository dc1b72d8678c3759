package coherence_test

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// Few names, so that fences and copies meet.
var (
	someKey    = rapid.SampledFrom([]string{"a", "b", "p:1", "p:q:2", "p:q:3", "g1"})
	someTag    = rapid.SampledFrom([]string{"t", "u", "v"})
	somePrefix = rapid.SampledFrom([]string{"p:", "p:q:", "x:"})
	someGlob   = rapid.SampledFrom([]string{"g*", "p:?", "*2", "*"})
)

func anyScope(t *rapid.T) (s events.Scope) {
	for s.Empty() {
		s.Keys = rapid.SliceOfN(someKey, 0, 2).Draw(t, "keys")
		s.Tags = rapid.SliceOfN(someTag, 0, 2).Draw(t, "tags")
		s.Prefixes = rapid.SliceOfN(somePrefix, 0, 1).Draw(t, "prefixes")
		s.Globs = rapid.SliceOfN(someGlob, 0, 1).Draw(t, "globs")
		s.All = rapid.IntRange(0, 9).Draw(t, "all") == 9
	}
	return s
}

func anyBracket(t *rapid.T) events.BracketID {
	return events.BracketID{rapid.ByteRange(1, 3).Draw(t, "bracket")}
}

func anyCopy(t *rapid.T, epochs []events.Epoch, applied events.Position) coherence.Copy {
	return coherence.Copy{
		Key:   someKey.Draw(t, "key"),
		Epoch: rapid.SampledFrom(epochs).Draw(t, "epoch"),
		Birth: events.Position(rapid.Uint64Range(0, uint64(applied)+2).Draw(t, "birth")),
		Tags:  slices.Values(rapid.SliceOfN(someTag, 0, 2).Draw(t, "copy tags")),
	}
}

// history drives a World through what a node may meet, beside an oracle that
// forgets nothing and a twin that is never restarted.
type history struct {
	node   *keeper
	twin   *keeper
	oracle *oracle
	epochs []events.Epoch
	number uint64 // of pulses
}

func (h *history) apply(t *rapid.T, s coherence.Step) {
	p := s.Mark.Position
	before := h.node.Epoch()
	e := h.node.Apply(s)
	h.node.keep(p, e)
	h.twin.keep(p, h.twin.Apply(s))
	h.oracle.apply(s)
	if now := h.node.Epoch(); now != before {
		if slices.Contains(h.epochs, now) {
			t.Fatalf("epoch %v began twice", now)
		}
		h.epochs = append(h.epochs, now)
	}
}

func (h *history) next(t *rapid.T, changes ...events.Change) {
	s := coherence.Step{Mark: h.mark(), Record: events.Record{Changes: changes}}
	if s.Record.Validate() != nil {
		return // no log holds it
	}
	h.apply(t, s)
}

func (h *history) mark() events.Mark {
	p := h.node.Applied() + 1
	return events.Mark{Position: p, ID: events.ID{Publisher: events.Incarnation{1}, Counter: uint64(p)}, Time: int64(p)}
}

func (h *history) change(t *rapid.T) events.Change {
	switch rapid.IntRange(0, 11).Draw(t, "kind") {
	case 0, 1, 2:
		return &events.Put{Key: someKey.Draw(t, "key")}
	case 3, 4, 5, 6:
		return &events.Invalidate{Scope: anyScope(t), Soft: rapid.Bool().Draw(t, "soft")}
	case 7, 8:
		return &events.Intent{Bracket: anyBracket(t), Scope: anyScope(t), Deadline: time.UnixMilli(1)}
	case 9:
		return &events.End{Bracket: anyBracket(t)}
	case 10:
		return h.pulse(t)
	}
	return &events.EpochChange{Epoch: events.Epoch(rapid.Uint64Range(1, 3).Draw(t, "id"))}
}

func (h *history) pulse(t *rapid.T) *events.Pulse {
	h.number++
	c := &events.Pulse{
		Node: "n", Incarnation: events.Incarnation{rapid.ByteRange(1, 3).Draw(t, "member")}, Number: h.number,
		Epoch: h.node.Epoch(), Applied: h.node.Applied(),
		Leave: rapid.IntRange(0, 3).Draw(t, "leave") == 0,
	}
	c.Digest, _ = h.node.Digest()
	c.Before, _ = h.node.DigestAt(c.Applied - 1)
	return c
}

// check compares the World with the oracle and its twin on some copies.
func (h *history) check(t *rapid.T) {
	if a, b := summary(h.node), summary(h.twin); a != b {
		t.Fatalf("restarted:\n%s\nnever restarted:\n%s", a, b)
	}
	for range 10 {
		c := anyCopy(t, h.epochs, h.node.Applied())
		life, why := h.node.Explain(c, h.node.keys[c.Key])
		if twin := h.twin.Judge(c, h.twin.keys[c.Key]); twin != life {
			t.Fatalf("%s born at %d: %v after restart (%v), %v without", c.Key, c.Birth, life, why, twin)
		}
		want := h.oracle.judge(c, h.node.Epoch())
		if c.Birth < h.node.Horizon() {
			want = coherence.Dead
		}
		if life != want {
			t.Fatalf("%s of %v born at %d, tags %v: %v (%v), by definition %v\nfences %v", c.Key, c.Epoch, c.Birth,
				slices.Collect(c.Tags), life, why, want, h.oracle.fences)
		}
		if (life == coherence.Alive) != (why == coherence.Reason{}) {
			t.Fatalf("%v with the reason %v", life, why)
		}
		if c.Epoch == h.node.Epoch() && c.Birth >= h.node.Newest() && !h.oracle.bypass(c) && h.node.Judge(c, coherence.Fence{}) != coherence.Alive && h.node.Epoch() != 0 {
			t.Fatalf("a copy born at %d, behind the newest fence %d, is dead without its key's fence", c.Birth, h.node.Newest())
		}
		if got, want := h.node.Bypass(c.Key, c.Tags), h.oracle.bypass(c); got != want {
			t.Fatalf("bypass of %s: %v, by definition %v", c.Key, got, want)
		}
	}
}

// summary is everything that a World shows but its judgements.
func summary(k *keeper) string {
	d, whole := k.Digest()
	members := slices.SortedFunc(k.Members(), func(a, b coherence.Member) int {
		return slices.Compare(a.Incarnation[:], b.Incarnation[:])
	})
	brackets := slices.SortedFunc(k.Brackets(), func(a, b coherence.Bracket) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return fmt.Sprintf("epoch %v mark %v digest %v %v horizon %d diverged %v\nmembers %+v\nbrackets %+v\nbroad %v",
		k.Epoch(), k.Mark(), d, whole, k.Horizon(), k.Diverged(), members, fmt.Sprintf("%+v", brackets),
		slices.SortedFunc(maps.Values(k.broad), func(a, b coherence.BroadFence) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
		}))
}

// G1, G7: whatever happens, the World judges every copy as the definition
// does, those below the horizon as dead, and a restart changes nothing.
func TestWorldJudgesAsTheDefinitionDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{node: newKeeper(), twin: newKeeper(), oracle: newOracle(), epochs: []events.Epoch{0}}
		h.next(t, &events.EpochChange{Epoch: 1})
		t.Repeat(map[string]func(*rapid.T){
			"": h.check,
			"record": func(t *rapid.T) {
				var changes []events.Change
				for range rapid.IntRange(1, 3).Draw(t, "changes") {
					changes = append(changes, h.change(t))
				}
				h.next(t, changes...)
			},
			"garbage": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "rarely") == 0 {
					h.apply(t, coherence.Step{Mark: h.mark(), Err: errors.New("garbage")})
				}
			},
			"prune": func(t *rapid.T) {
				p := events.Position(rapid.Uint64Range(0, uint64(h.node.Applied())+2).Draw(t, "prune"))
				for _, k := range []*keeper{h.node, h.twin} {
					for _, f := range k.Prune(p) {
						k.keepBroad(f)
					}
				}
			},
			"restart": func(t *rapid.T) {
				back, err := h.node.restored()
				if err != nil {
					t.Fatal(err)
				}
				h.node = back
			},
		})
	})
}

// Beyond the limit of globs everything older dies, and nothing that a hard
// glob killed becomes servable as stale because the last one was soft.
func TestGlobsOverflowIntoAFenceOfEverything(t *testing.T) {
	k, o := newKeeper(), newOracle()
	at := func() events.Mark { return events.Mark{Position: k.Applied() + 1} }
	apply := func(c events.Change) {
		s := coherence.Step{Mark: at(), Record: events.Record{Changes: []events.Change{c}}}
		k.keep(s.Mark.Position, k.Apply(s))
		o.apply(s)
	}
	apply(&events.EpochChange{Epoch: 1})
	const globs = 300
	for i := range globs {
		apply(&events.Invalidate{Scope: events.Scope{Globs: []string{fmt.Sprintf("g%d:*", i)}}, Soft: i >= globs/2})
	}
	back, err := k.restored()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*keeper{k, back} {
		for i := range globs {
			for b := events.Position(1); b <= k.Applied()+1; b += 7 {
				c := coherence.Copy{Key: fmt.Sprintf("g%d:x", i), Epoch: k.Epoch(), Birth: b}
				if got, most := w.Judge(c, coherence.Fence{}), o.judge(c, k.Epoch()); got > most {
					t.Fatalf("%s born at %d: %v, by definition %v", c.Key, b, got, most)
				}
			}
		}
		c := coherence.Copy{Key: "x", Epoch: k.Epoch(), Birth: k.Applied()}
		if got := w.Judge(c, coherence.Fence{}); got != coherence.Alive {
			t.Fatalf("a copy born behind all globs is %v", got)
		}
	}
	kept := 0
	for _, f := range k.broad {
		if f.Kind == coherence.ByGlob {
			kept++
		}
	}
	if kept > 256 {
		t.Fatalf("%d globs are kept", kept)
	}
}

// P19: a kind of change that this build knows no meaning of is not skipped.
func TestAChangeWithoutMeaningFencesEverything(t *testing.T) {
	k := newKeeper()
	k.Apply(coherence.Step{Mark: events.Mark{Position: 1}, Record: events.Record{Changes: []events.Change{&events.EpochChange{Epoch: 1}}}})
	k.Apply(coherence.Step{Mark: events.Mark{Position: 2}, Record: events.Record{Changes: []events.Change{nil}}})
	c := coherence.Copy{Key: "k", Epoch: k.Epoch(), Birth: 1}
	if life := k.Judge(c, coherence.Fence{}); life != coherence.Dead {
		t.Fatalf("a copy born before is %v", life)
	}
}

// A record that is not the next is a mistake of the caller's, and loud.
func TestApplyRefusesToSkip(t *testing.T) {
	for _, p := range []events.Position{0, 1, 2, 4} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			w := coherence.New()
			w.Apply(coherence.Step{Mark: events.Mark{Position: 1}})
			w.Apply(coherence.Step{Mark: events.Mark{Position: 2}})
			defer func() {
				if recover() == nil {
					t.Fatalf("took %d after 2", p)
				}
			}()
			w.Apply(coherence.Step{Mark: events.Mark{Position: p}})
		})
	}
}

func noFences() iter.Seq[coherence.BroadFence] {
	return func(func(coherence.BroadFence) bool) {}
}

// Whatever a disk hands back: a World, or an error that says so.
func FuzzRestore(f *testing.F) {
	k := newKeeper()
	for i, c := range []events.Change{
		&events.EpochChange{Epoch: 1},
		&events.Pulse{Node: "n", Incarnation: events.Incarnation{1}, Applied: 900, Epoch: 1, Addresses: []string{"nats://x"}},
		&events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"k"}, Tags: []string{"t"}, Prefixes: []string{"p:"}, Globs: []string{"*"}, All: true}},
		&events.EpochChange{Epoch: 2},
	} {
		k.Apply(coherence.Step{Mark: events.Mark{Position: events.Position(i + 1), Time: 7}, Record: events.Record{Changes: []events.Change{c}}})
		f.Add(k.AppendState(nil))
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, state []byte) {
		w, err := coherence.Restore(state, noFences())
		if err != nil {
			if !errors.Is(err, coherence.ErrState) || w != nil {
				t.Fatalf("restored %v, %v", w, err)
			}
			return
		}
		again, err := coherence.Restore(w.AppendState(nil), noFences())
		if err != nil {
			t.Fatalf("what was restored does not restore: %v", err)
		}
		a, b := &keeper{World: w}, &keeper{World: again}
		if summary(a) != summary(b) {
			t.Fatalf("%s\n%s", summary(a), summary(b))
		}
		w.Apply(coherence.Step{Mark: events.Mark{Position: w.Applied() + 1}, Err: errors.New("garbage")})
	})
}

// Every way of cutting a state short is told, and so is another version.
func TestRestoreRefusesDamage(t *testing.T) {
	k := newKeeper()
	k.Apply(coherence.Step{Mark: events.Mark{Position: 1}, Record: events.Record{Changes: []events.Change{
		&events.EpochChange{Epoch: 1}, &events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"k"}}},
	}}})
	state := k.AppendState(nil)
	for n := range state {
		if _, err := coherence.Restore(state[:n], noFences()); !errors.Is(err, coherence.ErrState) {
			t.Fatalf("%d of %d bytes: %v", n, len(state), err)
		}
	}
	for name, bad := range map[string][]byte{
		"longer":  append(slices.Clone(state), 0),
		"version": append([]byte{99}, state[1:]...),
	} {
		if _, err := coherence.Restore(bad, noFences()); !errors.Is(err, coherence.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	unknown := maps.Values(map[string]coherence.BroadFence{"": {Kind: 'z', Name: "x"}})
	if _, err := coherence.Restore(state, unknown); !errors.Is(err, coherence.ErrState) {
		t.Errorf("fence of an unknown kind: %v", err)
	}
}
