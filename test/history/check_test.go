package history

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// at makes an operation on "k" that took from call to its end.
func at(call, end int64, kind Kind, value int64, outcome Outcome, change ...func(*Op)) Op {
	o := Op{Client: int(call), Kind: kind, Key: "k", Value: value, Outcome: outcome, Call: call, Return: end}
	if kind == Read {
		o.Level = "strong"
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

func level(l string) func(*Op) { return func(o *Op) { o.Level = l } }
func by(c int) func(*Op)       { return func(o *Op) { o.Client = c } }
func seen(p uint64) func(*Op)  { return func(o *Op) { o.Seen = events.Position(p) } }
func bound(d int64) func(*Op)  { return func(o *Op) { o.Bound = time.Duration(d) } }
func order(ps ...uint64) Order {
	o := Order{}
	for i, p := range ps {
		o.Note("k", int64(i+1), events.Position(p))
	}
	return o
}

// The checkers find histories that are wrong, and pass those that are not: a
// checker that never says no proves nothing.
func TestCheckers(t *testing.T) {
	two := order(10, 20)
	sessions := func(ops []Op) error { return Sessions(ops, two) }
	bounded := func(ops []Op) error { return Bounded(ops, two) }
	for _, tc := range []struct {
		name  string
		check func([]Op) error
		ops   []Op
		wrong bool
	}{
		{"strong: reads follow writes", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 4, Read, 1, Done), at(5, 6, Write, 2, Done), at(7, 8, Read, 2, Done)}, false},
		{"strong: a miss at any time", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 4, Read, 0, Miss), at(5, 6, Read, 1, Done)}, false},
		{"strong: an old value after a newer write", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 4, Write, 2, Done), at(5, 6, Read, 1, Done)}, true},
		{"strong: an old value after an invalidation", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 4, Invalidate, -1, Done), at(5, 6, Read, 1, Done)}, true},
		{"strong: new, then old, during the write", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 20, Write, 2, Done), at(5, 6, Read, 2, Done), at(7, 8, Read, 1, Done)}, true},
		{"strong: either, during the write", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 20, Write, 2, Done), at(5, 6, Read, 1, Done), at(7, 8, Read, 2, Done)}, false},
		{"strong: a write without an answer takes effect late", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 0, Write, 2, Unknown), at(5, 6, Read, 1, Done), at(90, 91, Read, 2, Done)}, false},
		{"strong: or never", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 0, Write, 2, Unknown), at(90, 91, Read, 1, Done)}, false},
		{"strong: but not twice", Strong, []Op{at(1, 0, Write, 1, Unknown), at(2, 3, Read, 1, Done), at(4, 5, Write, 2, Done), at(6, 7, Read, 1, Done)}, true},
		{"strong: what was certainly not written is read", Strong, []Op{at(1, 2, Write, 1, Nothing), at(3, 4, Read, 1, Done)}, true},
		{"strong: weaker reads are not its business", Strong, []Op{at(1, 2, Write, 1, Done), at(3, 4, Write, 2, Done), at(5, 6, Read, 1, Done, level("eventual"))}, false},
		{"strong: nothing was recorded", Strong, nil, true},

		{"everywhere: some see it and some do not, during the write", Everywhere, []Op{at(1, 2, Write, 1, Done), at(3, 20, Write, 2, Done), at(5, 6, Read, 2, Done), at(7, 8, Read, 1, Done, level("eventual"))}, false},
		{"everywhere: an old value after it has returned", Everywhere, []Op{at(1, 2, Write, 1, Done), at(3, 4, Write, 2, Done), at(5, 6, Read, 1, Done, level("eventual"))}, true},
		{"everywhere: a read that began before it returned", Everywhere, []Op{at(1, 2, Write, 1, Done), at(3, 10, Write, 2, Done), at(9, 40, Read, 1, Done, level("eventual"))}, false},
		{"everywhere: a write without an answer binds nobody", Everywhere, []Op{at(1, 2, Write, 1, Done), at(3, 0, Write, 2, Unknown), at(50, 51, Read, 2, Done), at(60, 61, Read, 1, Done)}, false},
		{"everywhere: two writes at once, in either order", Everywhere, []Op{at(1, 9, Write, 1, Done), at(2, 9, Write, 2, Done), at(10, 11, Read, 1, Done), at(12, 13, Read, 1, Done)}, false},
		{"everywhere: but not in both", Everywhere, []Op{at(1, 9, Write, 1, Done), at(2, 9, Write, 2, Done), at(10, 11, Read, 1, Done), at(12, 13, Read, 2, Done)}, true},

		{"bracketed: cache and database agree", Bracketed, []Op{at(1, 9, Write, 1, Done), at(2, 3, Query, 0, Done), at(4, 5, Query, 1, Done), at(6, 7, Read, 1, Done)}, false},
		{"bracketed: the cache is behind the database", Bracketed, []Op{at(1, 9, Write, 1, Done), at(4, 5, Query, 1, Done), at(6, 7, Read, 0, Done)}, true},
		{"bracketed: the cache is ahead of the database", Bracketed, []Op{at(1, 9, Write, 1, Done), at(4, 5, Read, 1, Done), at(6, 7, Query, 0, Done)}, true},
		{"bracketed: a read that loads never misses", Bracketed, []Op{at(1, 2, Write, 1, Done), at(6, 7, Read, 0, Miss)}, true},

		{"session: own writes", sessions, []Op{at(1, 2, Read, 2, Done, level("session"), seen(20))}, false},
		{"session: a newer one", sessions, []Op{at(1, 2, Read, 2, Done, level("session"), seen(10))}, false},
		{"session: an own write is missed", sessions, []Op{at(1, 2, Read, 1, Done, level("session"), seen(20))}, true},
		{"session: back in time", sessions, []Op{at(1, 2, Read, 2, Done, level("session"), seen(5), by(1)), at(3, 4, Read, 1, Done, level("session"), seen(5), by(1))}, true},
		{"session: another's view is its own", sessions, []Op{at(1, 2, Read, 2, Done, level("session"), seen(5), by(1)), at(3, 4, Read, 1, Done, level("session"), seen(5), by(2))}, false},
		{"session: a value that nobody wrote", sessions, []Op{at(1, 2, Read, 7, Done, level("session"))}, true},
		{"session: nothing was judged", sessions, []Op{at(1, 2, Read, 1, Miss, level("session"))}, true},

		{"bounded: within the bound", bounded, []Op{at(1, 2, Write, 1, Done), at(3, 4, Write, 2, Done), at(50, 51, Read, 1, Done, level("bounded"), bound(46))}, false},
		{"bounded: beyond it", bounded, []Op{at(1, 2, Write, 1, Done), at(3, 4, Write, 2, Done), at(51, 52, Read, 1, Done, level("bounded"), bound(46))}, true},
		{"bounded: nothing was judged", bounded, []Op{at(1, 2, Write, 1, Done)}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.check(tc.ops); (err != nil) != tc.wrong {
				t.Errorf("the judgement is %v", err)
			} else if err != nil && strings.TrimSpace(err.Error()) == "" {
				t.Error("the judgement does not say why")
			}
		})
	}
}

// A wrong history can be drawn.
func TestPicture(t *testing.T) {
	err := Strong([]Op{at(1, 2, Write, 1, Done), at(3, 4, Write, 2, Done), at(5, 6, Read, 1, Done)})
	wrong, ok := errors.AsType[*Wrong](err)
	if !ok {
		t.Fatalf("the judgement is %v", err)
	}
	var b strings.Builder
	if err := wrong.Picture(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "write 2", "strong → 1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture has no %q", want)
		}
	}
}
