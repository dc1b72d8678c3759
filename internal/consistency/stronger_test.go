package consistency_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
)

var anyLevel = rapid.Custom(func(t *rapid.T) consistency.Level {
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return consistency.Eventual()
	case 1:
		return consistency.Strong()
	case 2:
		return consistency.Bounded(time.Duration(rapid.IntRange(0, 3).Draw(t, "bound")) * time.Second)
	}
	point := consistency.Point{Epoch: 1, Position: events.Position(rapid.IntRange(1, 3).Draw(t, "position"))}
	return consistency.Session(consistency.Token{}.With(0, point))
})

// Whatever node may serve at the stronger level may serve at either of the two,
// in both orders.
func TestStrongerKeepsBothPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyLevel.Draw(t, "a"), anyLevel.Draw(t, "b")
		f := consistency.Facts{
			Age: time.Duration(rapid.IntRange(0, 5).Draw(t, "age")) * 500 * time.Millisecond, Lease: 2 * time.Second,
			Epoch: 1, Applied: events.Position(rapid.IntRange(0, 4).Draw(t, "applied")), Asked: 2,
			Pulsed: uint64(rapid.IntRange(1, 2).Draw(t, "pulsed")),
		}
		if f.Pulsed == f.Asked {
			// A pulse that began with the read, so behind every write that a
			// token has seen, and no bound counts from earlier.
			f.Applied, f.Age = max(f.Applied, 3), 0
		}
		if consistency.Decide(consistency.Stronger(a, b), 0, f) != consistency.Serve {
			return
		}
		for _, l := range []consistency.Level{a, b} {
			if v := consistency.Decide(l, 0, f); v != consistency.Serve {
				t.Fatalf("served at the stronger of %v and %v; %v alone: %v", a, b, l, v)
			}
		}
	})
}

func TestCovers(t *testing.T) {
	at := func(p events.Position) consistency.Level {
		return consistency.Session(consistency.Token{}.With(0, consistency.Point{Epoch: 1, Position: p}))
	}
	for _, c := range []struct {
		given, asked consistency.Level
		want         bool
	}{
		{consistency.Strong(), consistency.Strong(), false},
		{consistency.Strong(), consistency.Bounded(time.Second), true},
		{consistency.Strong(), at(1), false}, // the token may be of a write behind it
		{consistency.Eventual(), consistency.Eventual(), true},
		{consistency.Eventual(), consistency.Bounded(0), false},
		{consistency.Bounded(0), consistency.Bounded(0), true},
		{consistency.Bounded(0), consistency.Bounded(time.Second), false},
		{consistency.Bounded(time.Second), consistency.Bounded(2 * time.Second), true},
		{consistency.Bounded(time.Second), consistency.Bounded(0), true},
		{consistency.Bounded(0), at(1), false},
		{at(2), at(1), true},
		{at(1), at(2), false},
		{at(1), consistency.Bounded(0), true},
	} {
		if got := c.given.Covers(c.asked); got != c.want {
			t.Errorf("an answer at %v for a read at %v: %v, want %v", c.given, c.asked, got, c.want)
		}
	}
}
