package settle_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/settle"
)

var start = time.Unix(1_700_000_000, 0)

func at(d time.Duration) time.Time { return start.Add(d) }

func queue(t interface{ Fatal(...any) }, c settle.Config) *settle.Queue {
	q, err := settle.NewQueue(c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestRefuses(t *testing.T) {
	for _, c := range []settle.Config{{}, {Capacity: 1, Delay: -1}, {Capacity: 1, Jitter: -1}, {Capacity: 1, Interval: -1}} {
		if _, err := settle.NewQueue(c); !errors.Is(err, settle.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestWaitsOnceWithTheHighestPosition(t *testing.T) {
	q := queue(t, settle.Config{Delay: 50 * time.Millisecond, Jitter: 100 * time.Millisecond, Capacity: 10})
	q.Add(at(0), "k", 7, 0.5)
	q.Add(at(10*time.Millisecond), "k", 9, 0)
	q.Add(at(20*time.Millisecond), "k", 8, 0)
	if _, ok, again := q.Next(at(99 * time.Millisecond)); ok || !again.Equal(at(100*time.Millisecond)) {
		t.Fatalf("released early, or told to come back at %v", again)
	}
	item, ok, _ := q.Next(at(100 * time.Millisecond))
	if !ok || item != (settle.Item{Key: "k", Position: 9}) {
		t.Fatalf("%+v, %v", item, ok)
	}
	if _, ok, again := q.Next(at(time.Hour)); ok || !again.IsZero() {
		t.Fatalf("released twice, or told to come back at %v", again)
	}
}

func TestRestsBetweenReleases(t *testing.T) {
	q := queue(t, settle.Config{Interval: time.Second, Capacity: 10})
	q.Add(at(0), "k", 1, 0)
	if _, ok, _ := q.Next(at(0)); !ok {
		t.Fatal("nothing due")
	}
	if _, ok, again := q.Next(at(0)); ok || !again.IsZero() {
		t.Fatalf("a resting key is no reason to come back: %v", again)
	}
	q.Add(at(100*time.Millisecond), "k", 2, 0)
	if _, ok, again := q.Next(at(999 * time.Millisecond)); ok || !again.Equal(at(time.Second)) {
		t.Fatalf("released too soon, or told to come back at %v", again)
	}
	if item, ok, _ := q.Next(at(time.Second)); !ok || item.Position != 2 {
		t.Fatalf("%+v, %v", item, ok)
	}
}

func TestFull(t *testing.T) {
	q := queue(t, settle.Config{Interval: time.Second, Capacity: 2})
	if !q.Add(at(0), "a", 1, 0) || !q.Add(at(0), "b", 1, 0) || q.Add(at(0), "c", 1, 0) || !q.Add(at(0), "a", 2, 0) {
		t.Fatal("capacity 2 is not held")
	}
	q.Next(at(0))
	q.Next(at(0))
	if q.Waiting() != 0 || q.Add(at(0), "c", 1, 0) {
		t.Fatal("resting keys take no room")
	}
	if !q.Add(at(time.Second), "c", 1, 0) {
		t.Fatal("rested keys take room")
	}
	q.Clear()
	if q.Waiting() != 0 || !q.Add(at(time.Second), "d", 1, 0) {
		t.Fatal("not cleared")
	}
}

// TestPromises holds the queue to its package's words under random use.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * time.Millisecond
		}
		c := settle.Config{Delay: ms("delay", 100), Jitter: ms("jitter", 100), Interval: ms("interval", 500), Capacity: rapid.IntRange(1, 6).Draw(t, "capacity")}
		q := queue(t, c)
		now := start
		type state struct {
			since   time.Time
			highest events.Position
		}
		waiting := map[string]state{}
		released := map[string]time.Time{}
		check := func() {
			for {
				item, ok, again := q.Next(now)
				if !ok {
					if len(waiting) > 0 && (again.IsZero() || !again.After(now)) {
						t.Fatalf("%d wait, and the next look is at %v", len(waiting), again)
					}
					return
				}
				w, known := waiting[item.Key]
				if !known {
					t.Fatalf("%q was released and did not wait", item.Key)
				}
				if now.Before(w.since.Add(c.Delay)) {
					t.Fatalf("%q was released after %v", item.Key, now.Sub(w.since))
				}
				if last, yes := released[item.Key]; yes && now.Sub(last) < c.Interval {
					t.Fatalf("%q was released twice within %v", item.Key, now.Sub(last))
				}
				if item.Position != w.highest {
					t.Fatalf("%q: position %d, want %d", item.Key, item.Position, w.highest)
				}
				released[item.Key] = now
				delete(waiting, item.Key)
			}
		}
		for i := range 100 {
			now = now.Add(ms("step", 80))
			key := fmt.Sprint(rapid.IntRange(0, 7).Draw(t, "key"))
			p := events.Position(rapid.IntRange(1, 100).Draw(t, "position"))
			if q.Add(now, key, p, rapid.Float64Range(0, 0.999).Draw(t, "draw")) {
				w, known := waiting[key]
				if !known {
					w.since = now
				}
				w.highest = max(w.highest, p)
				waiting[key] = w
			}
			if i%3 == 0 {
				check()
			}
			if q.Waiting() != len(waiting) || q.Waiting() > c.Capacity {
				t.Fatalf("%d wait, want %d of at most %d", q.Waiting(), len(waiting), c.Capacity)
			}
		}
		now = now.Add(time.Hour)
		check()
		if len(waiting) != 0 {
			t.Fatalf("%d were never released", len(waiting))
		}
	})
}
