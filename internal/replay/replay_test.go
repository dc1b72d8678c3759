package replay

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
)

// What a filter lets through is what may kill, or is, a copy that is wanted.
func TestFilter(t *testing.T) {
	h := newHistory(t) // 1
	h.add(put(t, "user:1:name", "ada", "team:x"))
	h.add(put(t, "user:2:name", "bob", "team:y"))
	h.add(&events.Pulse{Node: "n", Incarnation: events.Incarnation{9}, Number: 1})
	h.add(fence(events.Scope{Keys: []string{"user:2:name"}})) // 5
	h.add(fence(events.Scope{Tags: []string{"team:x"}}))
	h.add(fence(events.Scope{Prefixes: []string{"user:1:"}}))
	h.add(fence(events.Scope{Globs: []string{"*:name"}}))
	h.add(fence(events.Scope{All: true}))
	h.add(&events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"user:1:name"}}, Deadline: time.Now()}) // 10
	h.add(&events.Intent{Bracket: events.BracketID{2}, Scope: events.Scope{Keys: []string{"order:1"}}, Deadline: time.Now()})
	h.add(&events.End{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"user:1:name"}}})
	h.add(&events.End{Bracket: events.BracketID{2}, Scope: events.Scope{Keys: []string{"order:1"}}})
	h.add(fence(events.Scope{Globs: []string{"order:*"}}))
	h.stream.AppendForeign([]byte("what is this")) // 15
	h.add(fence(events.Scope{Prefixes: []string{"user:"}}))
	h.add(&events.Put{Key: "user:1:name"})
	h.add(&events.EpochChange{Epoch: 8})

	for _, c := range []struct {
		name string
		f    Filter
		want []events.Position
	}{
		{"key", Filter{Keys: []string{"user:1:name"}}, []events.Position{1, 2, 6, 7, 8, 9, 10, 12, 15, 16, 17, 18}},
		{"other key", Filter{Keys: []string{"user:2:name"}}, []events.Position{1, 3, 5, 8, 9, 15, 16, 18}},
		{"tag", Filter{Tags: []string{"team:x"}}, []events.Position{1, 2, 6, 7, 8, 9, 10, 12, 15, 16, 17, 18}},
		{"prefix", Filter{Prefixes: []string{"user:1:"}}, []events.Position{1, 2, 6, 7, 8, 9, 10, 12, 15, 16, 17, 18}},
		{"wider prefix", Filter{Prefixes: []string{"order:"}}, []events.Position{1, 8, 9, 11, 13, 14, 15, 18}},
	} {
		expect(t, c.name, h.positions(Options{Filter: c.f}), c.want)
	}
	expect(t, "everything", h.positions(Options{}), []events.Position{1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18})
	expect(t, "pulses too", h.positions(Options{Pulses: true})[3:5], []events.Position{4, 5})
}

func TestCounts(t *testing.T) {
	h := newHistory(t)
	h.add(put(t, "a", "1"), &events.Put{Key: "b"})
	h.add(&events.Invalidate{Scope: events.Scope{Keys: []string{"a"}}, Soft: true})
	h.stream.AppendForeign([]byte{0})
	var told uint64
	c, err := Run(t.Context(), []Source{h}, all(t, h), Options{Progress: func(n uint64) { told = n }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Bytes = 0
	want := Counts{Read: 4, Matched: 4, Puts: 2, Values: 1, Invalidates: 1, Soft: 1, Epochs: 1, Unreadable: 1}
	if c != want || told != 4 {
		t.Errorf("%+v, told %d, want %+v", c, told, want)
	}
}

func TestPlaces(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		h := newHistory(t) // 1, at 0 s
		begin := time.Now()
		for range 9 { // 2 to 10, at 1 to 9 min
			time.Sleep(time.Minute)
			h.add(fence(events.Scope{All: true}))
		}
		h.stream.Trim(3)
		now := time.Now()
		for _, c := range []struct {
			from, to    string
			first, last events.Position
		}{
			{"first", "last", 3, 10},
			{"5", "7", 5, 7},
			{"1", "99", 3, 10},
			{"now", "now", 10, 10},
			{"-3m", "last", 7, 10},
			{"-3m30s", "-1m30s", 7, 8},
			{"first", begin.Add(4 * time.Minute).Format(time.RFC3339Nano), 3, 5},
			{"first", begin.Format(time.RFC3339Nano), 3, 2},
			{now.Add(time.Second).Format(time.RFC3339Nano), "last", 11, 10},
		} {
			from, err1 := ParsePlace(c.from, now)
			to, err2 := ParsePlace(c.to, now)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			r, err := Resolve(t.Context(), 0, h, from, to)
			if err != nil || r.First != c.first || r.Last != c.last {
				t.Errorf("from %s to %s: %d to %d, %v, want %d to %d", c.from, c.to, r.First, r.Last, err, c.first, c.last)
			}
		}
		for _, s := range []string{"", "0", "-", "-x", "tomorrow", "1.5"} {
			if _, err := ParsePlace(s, now); !errors.Is(err, events.ErrInvalid) {
				t.Errorf("%q: %v", s, err)
			}
		}
		if r, err := Resolve(t.Context(), 0, emptySource{h}, First(), Last()); err != nil || r.Len() != 0 {
			t.Errorf("an empty log: %+v, %v", r, err)
		}
	})
}

type emptySource struct{ *history }

func (emptySource) Bounds(context.Context) (first, last events.Mark, err error) { return }

func TestRate(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		h := newHistory(t)
		for range 999 {
			h.add(fence(events.Scope{Keys: []string{"k"}}))
		}
		began := time.Now()
		if n := len(h.positions(Options{Rate: 100})); n != 1000 {
			t.Errorf("%d records", n)
		}
		if took := time.Since(began); took < 9500*time.Millisecond || took > 10*time.Second {
			t.Errorf("1000 records at 100 a second took %v", took)
		}
	})
}
