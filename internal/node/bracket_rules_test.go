package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// inBracket runs fn inside of a bracket around k.
func (m *member) inBracket(fn func()) {
	m.t.Helper()
	if _, err := m.Bracketed(context.Background(), ofK, time.Minute, func(context.Context, events.BracketID) error {
		fn()
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
}

// A bracketed write's function starts once no node serves what it covers.
func TestBracketBeginsEverywhere(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		b.log.Cut()
		a.inBracket(func() {
			if v, err := b.get("k", node.ReadOptions{}); err == nil {
				t.Errorf("b served %q while the write ran", v)
			}
			if v, err := a.get("k", node.ReadOptions{}); err == nil {
				t.Errorf("a served %q while the write ran", v)
			}
		})
	})
}

// H7: what is read under an open bracket is kept nowhere: the commit comes
// without a fence of its own until the end.
func TestNothingIsKeptUnderABracket(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		a.inBracket(func() {
			f.caughtUp(b)
			for _, m := range []*member{a, b} {
				if v, err := m.get("k", node.ReadOptions{Load: loads("before the commit")}); err != nil || v != "before the commit" {
					t.Errorf("%q, %v", v, err)
				}
			}
			f.pass(lease / 5) // what is kept behind the reader's back is kept by now
			for _, m := range []*member{a, b} {
				if v, err := m.get("k", node.ReadOptions{Load: loads("after the commit")}); err != nil || v != "after the commit" {
					t.Errorf("%q, %v", v, err)
				}
			}
		})
	})
}

// H10, G7: a bracket that is open outlives a restart.
func TestOpenBracketOutlivesARestart(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		id := events.BracketID{1}
		if err := a.appends(&events.Intent{Bracket: id, Scope: ofK, Deadline: time.Now()}); err != nil {
			t.Fatal(err)
		}
		f.caughtUp(a)
		a.sync()
		a = f.start("a", options{fs: a.crash(100)})
		if n := len(a.Brackets()); n != 1 {
			t.Fatalf("%d brackets are open after the restart, want 1", n)
		}
		a.get("k", node.ReadOptions{Load: loads("before")})
		if v, err := a.get("k", node.ReadOptions{Load: loads("after")}); err != nil || v != "after" {
			t.Fatalf("%q, %v; want what the origin says now", v, err)
		}
		if _, err := a.EndBracket(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		if n := len(a.Brackets()); n != 0 {
			t.Fatalf("%d brackets are open after the end", n)
		}
	})
}

// H10: an open bracket's intent is published again before retention takes it.
func TestOpenBracketIsPublishedAgain(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.settings.MaxTTL, f.settings.Outage = 10*time.Second, 10*time.Second
		a := f.start("a", options{})
		if err := a.appends(&events.Intent{Bracket: events.BracketID{1}, Scope: ofK, Deadline: time.Now()}); err != nil {
			t.Fatal(err)
		}
		_, at := f.stream.Bounds()
		f.pass(f.settings.Retention() * 3 / 4)
		f.stream.Trim(at + 1)
		b := f.start("b", options{})
		f.caughtUp(b)
		if n := len(b.Brackets()); n != 1 {
			t.Fatalf("a node that starts behind the intent knows %d brackets, want 1", n)
		}
	})
}

// P6: a bracket whose commit may still happen stays open, until it is ended by
// somebody who knows.
func TestUnsettledBracketStaysOpen(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		o := node.BracketOptions{Timeout: time.Second, Decider: "orders"}
		_, err := a.BracketedBy(context.Background(), ofK, o, func(context.Context, events.BracketID) error { return node.ErrUnsettled })
		if !errors.Is(err, node.ErrUnsettled) {
			t.Fatal(err)
		}
		a.sync()
		a = f.start("a", options{fs: a.crash(100)})
		f.pass(2 * time.Second)
		for _, m := range []*member{a, b} {
			f.caughtUp(m)
			open := m.Brackets()
			if len(open) != 1 || !open[0].Overdue || open[0].Age < 2*time.Second || open[0].Writer != "a" || open[0].Decider != "orders" {
				t.Fatalf("open are %+v", open)
			}
			m.get("k", node.ReadOptions{Load: loads("before")})
			if v, err := m.get("k", node.ReadOptions{Load: loads("after")}); err != nil || v != "after" {
				t.Fatalf("%q, %v; want what the origin says", v, err)
			}
		}
		id := b.Brackets()[0].ID
		must(b.EndBracket(context.Background(), id))(t)
		b.get("k", node.ReadOptions{Load: loads("settled")})
		b.wants("k", "settled")

		// The writer's own end, should it come after all, costs no more than
		// what the bracket covered.
		b.put("other", "kept")
		if err := b.appends(&events.End{Bracket: id, Scope: ofK}); err != nil {
			t.Fatal(err)
		}
		f.caughtUp(b)
		b.wants("k", "")
		b.wants("other", "kept")
	})
}
