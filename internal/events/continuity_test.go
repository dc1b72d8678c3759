package events_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
)

// mark makes the record at p of the history h.
func mark(p events.Position, h uint64) events.Mark {
	return events.Mark{Position: p, ID: events.ID{Counter: uint64(p) + h<<32}, Time: int64(p) * 1000}
}

// Each script is a list of steps: "attach first last", or a position that is
// delivered, with ' for one of another history, and what must come of it:
// nothing (a new record), "=" (known already), "gap" or "history".
func TestContinuity(t *testing.T) {
	for _, c := range []struct {
		name, script string
		from         int // negative: a place without a name
	}{
		{"from zero", "attach 1 3; 1; 2; 3; 4", 0},
		{"from zero, trimmed", "attach 7 9; 7; 8", 0},
		{"from zero, trimmed after attach", "attach 7 9; 8 gap", 0},
		{"from zero, trimmed between consumer and attach", "attach 7 9; 6; 7", 0},
		{"from zero, empty", "attach 0 0; 1; 2", 0},
		{"from zero, expired", "attach 10 9; 10; 11", 0},
		{"from mark", "attach 1 9; 5 =; 6; 7", 5},
		{"from mark at the end", "attach 1 5; 5 =; 6", 5},
		{"from mark at the beginning", "attach 5 9; 5 =; 6", 5},
		{"mark is another record", "attach 1 9; 5' history", 5},
		{"mark is skipped", "attach 1 9; 6 gap", 5},
		{"mark was trimmed", "attach 6 9 gap", 5},
		{"much was trimmed", "attach 9 9 gap", 5},
		{"all was trimmed", "attach 10 9 gap", 5},
		{"log is shorter", "attach 1 4 history", 5},
		{"log is new", "attach 0 0 history", 5},
		{"jump", "attach 1 9; 5 =; 6; 8 gap", 5},
		{"repeated", "attach 1 9; 5 =; 6; 6 =; 5 =; 7", 5},
		{"repeated as another", "attach 1 9; 5 =; 6; 6' history", 5},
		{"older as another", "attach 1 9; 5 =; 6; 7; 5' history", 5},
		{"back behind what is known", "attach 1 9; 5 =; 4 history", 5},
		{"behind a place", "attach 1 9; 6; 7", -5},
		{"behind a place, trimmed", "attach 8 9; 8; 9", -5},
		{"behind a place, at the end", "attach 1 5; 6", -5},
		{"behind a place, hole", "attach 1 9; 7 gap", -5},
		{"behind a place, shorter", "attach 1 4 history", -5},
		{"attached again", "attach 1 9; 5 =; 6; 7; attach 1 9; 7 =; 8", 5},
		{"attached again, jump", "attach 1 9; 5 =; 6; attach 1 9; 7 gap", 5},
		{"attached again, diverged", "attach 1 9; 5 =; 6; attach 1 9; 6' history", 5},
		{"attached again, shorter", "attach 1 9; 5 =; 6; attach 1 5 history", 5},
		{"attached again, trimmed", "attach 1 9; 5 =; 6; attach 7 9 gap", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := events.Mark{Position: events.Position(max(-c.from, 0))}
			if c.from > 0 {
				from = mark(events.Position(c.from), 0)
			}
			j := events.NewContinuity(from)
			for step := range strings.SplitSeq(c.script, "; ") {
				got, want := play(t, j, step)
				if got != want {
					t.Fatalf("%s: got %q, want %q", step, got, want)
				}
			}
		})
	}
}

func play(t *testing.T, j *events.Continuity, step string) (got, want string) {
	t.Helper()
	var err error
	var fresh bool
	var first, last, p events.Position
	if n, _ := fmt.Sscanf(step, "attach %d %d %s", &first, &last, &want); n >= 2 {
		err, fresh = j.Attach(first, last), true
	} else {
		words := strings.Fields(step)
		if len(words) > 1 {
			want = words[1]
		}
		text, other := strings.CutSuffix(words[0], "'")
		if _, err := fmt.Sscan(text, &p); err != nil {
			t.Fatal(err)
		}
		h := uint64(0)
		if other {
			h = 1
		}
		fresh, err = j.Observe(mark(p, h))
		if fresh && j.Last().Position != p {
			t.Fatalf("%s: last is %d", step, j.Last().Position)
		}
	}
	switch {
	case errors.Is(err, events.ErrGap):
		return "gap", want
	case errors.Is(err, events.ErrHistoryChanged):
		return "history", want
	case err != nil:
		t.Fatal(err)
	case !fresh:
		return "=", want
	}
	return "", want
}

// A record is compared by its time as well: a publisher's id may come again
// after the duplicate window.
func TestContinuityComparesTime(t *testing.T) {
	m := mark(5, 0)
	j := events.NewContinuity(m)
	if err := j.Attach(1, 9); err != nil {
		t.Fatal(err)
	}
	m.Time++
	if _, err := j.Observe(m); !errors.Is(err, events.ErrHistoryChanged) {
		t.Fatalf("got %v", err)
	}
}

// Identities are remembered for a while; what is older can't be compared, and
// that is said.
func TestContinuityRemembersForAWhile(t *testing.T) {
	j := events.NewContinuity(events.Mark{})
	if err := j.Attach(1, 1000); err != nil {
		t.Fatal(err)
	}
	for p := range events.Position(1000) {
		if fresh, err := j.Observe(mark(p+1, 0)); !fresh || err != nil {
			t.Fatal(p, err)
		}
	}
	if fresh, err := j.Observe(mark(990, 0)); fresh || err != nil {
		t.Errorf("a late repetition: %v, %v", fresh, err)
	}
	if _, err := j.Observe(mark(500, 0)); !errors.Is(err, events.ErrHistoryChanged) {
		t.Errorf("a very late one: %v", err)
	}
}

// A gap is doubted until it was met at one place again and again; a changed
// history never is.
func TestContinuityDoubts(t *testing.T) {
	j := events.NewContinuity(mark(5, 0))
	attaches := 0
	for {
		if err := j.Attach(1, 9); err != nil {
			t.Fatal(err)
		}
		attaches++
		if _, err := j.Observe(mark(5, 0)); err != nil {
			t.Fatal(err)
		}
		_, err := j.Observe(mark(7, 0))
		if !j.Doubtful(err) {
			break
		}
	}
	if attaches < 2 || attaches > 10 {
		t.Errorf("%d attaches", attaches)
	}
	if _, err := j.Observe(mark(6, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Observe(mark(9, 0)); !j.Doubtful(err) {
		t.Error("a gap at a new place is not doubted")
	}
	if _, err := j.Observe(mark(6, 1)); j.Doubtful(err) {
		t.Error("another record at a known place is doubted")
	}
}
