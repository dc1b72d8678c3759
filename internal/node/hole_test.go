package node_test

import (
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// lose makes a hole in the log where a write's record stands.
func (f *fleet) lose(t consistency.Token) {
	at := t.At(f.home()).Position
	f.stream.Lose(at, at)
}

// R12: records are missing in the middle of the log. Who comes to the hole goes
// on behind it, and trusts nothing that was born before; who had passed it loses
// nothing, and lends the others a base. A token from inside the hole is satisfied
// behind it.
func TestHoleInTheLogIsPassed(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		fenced, other := f.near("fenced"), f.near("other")
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "v")
		a.put(fenced, "old")
		f.caughtUp(b)
		f.await("copies in the shared tier", func() bool { return len(f.shared.backup()) == 2 })
		backup := f.shared.backup()
		epoch := a.Epoch("k")
		b.sync()
		fs := b.crash(100)
		lost := a.invalidate(events.Scope{Keys: []string{fenced}})
		a.put(other, "x")
		f.lose(lost)
		f.shared.restore(backup)

		b = f.start("b", options{fs: fs})
		c := f.start("c", options{})
		for _, m := range []*member{b, c} {
			if s := m.Stats(); s.Gaps != 1 || s.Regressions != 0 {
				t.Fatalf("%s: %d gaps, %d regressions", m.id, s.Gaps, s.Regressions)
			}
			f.caughtUp(m)
			m.wants("k", "")
			if v, err := m.get(fenced, node.ReadOptions{Level: session(lost)}); err == nil {
				t.Errorf("%s read %q, which the lost record had fenced", m.id, v)
			}
			if e := m.Epoch("k"); e != epoch {
				t.Errorf("%s is in epoch %s, want %s still", m.id, e, epoch)
			}
		}
		a.wants("k", "v")
		b.put("k", "new")
		for _, m := range []*member{a, b, c} {
			f.caughtUp(m)
			m.wants("k", "new")
		}
	})
}

// Where nobody is left who had passed the hole, nobody has a base for the digest:
// the fleet opens an epoch and serves. Several holes are passed one by one.
func TestHoleThatEverybodyMeets(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		fenced, other := f.near("fenced"), f.near("other")
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put(fenced, "old")
		f.await("a copy in the shared tier", func() bool { return len(f.shared.backup()) == 1 })
		backup := f.shared.backup()
		for range 3 {
			b.sync()
			lost := a.put(fenced, "lost")
			a.put(other, "x")
			f.lose(lost)
		}
		a.crash(0)
		fs := b.crash(0)
		f.lose(lastOf(f)) // which b may have applied
		f.shared.restore(backup)
		a, b = f.start("a", options{}), f.start("b", options{fs: fs})
		for _, m := range []*member{a, b} {
			f.caughtUp(m)
			m.wants(fenced, "")
		}
		a.put("k", "v")
		f.caughtUp(b)
		b.wants("k", "v")
		if a.Stats().Gaps < 3 || a.Epoch("k") != b.Epoch("k") {
			t.Errorf("%d gaps, epochs %s and %s", a.Stats().Gaps, a.Epoch("k"), b.Epoch("k"))
		}
	})
}

// lastOf returns the token of the newest record.
func lastOf(f *fleet) consistency.Token {
	_, last := f.stream.Bounds()
	return consistency.Token{}.With(f.home(), consistency.Point{Epoch: 1, Position: last})
}

// H7, H10: what opened a bracket is still in the log, in front of a hole, and
// nobody publishes it again so soon.
func TestBracketFromBeforeAHoleIsOpen(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		id := events.BracketID{1}
		if err := a.appends(&events.Intent{Bracket: id, Scope: ofK, Deadline: time.Now()}); err != nil {
			t.Fatal(err)
		}
		lost := a.put(f.near("j"), "x")
		a.put(f.near("j"), "y")
		f.lose(lost)
		b := f.start("b", options{})
		if n := len(b.Brackets()); n != 1 || b.Stats().Gaps != 1 {
			t.Fatalf("%d brackets are open, want 1; %d gaps", n, b.Stats().Gaps)
		}
		for _, v := range []string{"before", "after"} {
			if got, err := b.get("k", node.ReadOptions{Load: loads(v)}); err != nil || got != v {
				t.Fatalf("%q, %v; want what the origin says now: %s", got, err, v)
			}
		}
		if _, err := b.EndBracket(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		f.caughtUp(a)
		if len(a.Brackets())+len(b.Brackets()) != 0 {
			t.Error("the bracket did not end")
		}
	})
}
