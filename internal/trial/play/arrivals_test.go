package play

import (
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

var sent = time.Unix(1000, 0)

func fenced(a *Arrivals, member int, position events.Position, id string, after time.Duration) {
	a.Applied(member, sent.Add(after), events.Mark{Position: position},
		[]events.Change{&events.Invalidate{Cause: events.Cause{Event: "source#" + id}}})
}

func isSettled(a *Arrivals) bool {
	select {
	case <-a.settled():
		return true
	default:
		return false
	}
}

func TestArrivalCountsTheLastNode(t *testing.T) {
	a := NewArrivals(3)
	if !isSettled(a) {
		t.Fatal("not settled before anything was sent")
	}
	a.expect("e1", sent)
	fenced(a, 2, 7, "e1", 3*time.Millisecond)
	fenced(a, 0, 7, "e1", 9*time.Millisecond)
	fenced(a, 0, 8, "e1", 20*time.Millisecond) // a duplicate of the fence
	if isSettled(a) {
		t.Fatal("settled before the last node")
	}
	fenced(a, 1, 7, "e1", 5*time.Millisecond)
	pending, fences, took := a.counts(0)
	if !isSettled(a) || pending != 0 || fences != 2 || len(took) != 1 || took[0] != 9*time.Millisecond {
		t.Errorf("pending %d, fences %d, took %v", pending, fences, took)
	}
}

func TestArrivalOfEventsThatShareAnID(t *testing.T) {
	a := NewArrivals(1)
	a.expect("e", sent)
	a.expect("e", sent.Add(time.Second))
	fenced(a, 0, 1, "e", 2*time.Second)
	if isSettled(a) {
		t.Fatal("one fence counted for two events")
	}
	fenced(a, 0, 2, "e", 3*time.Second)
	if _, _, took := a.counts(0); !isSettled(a) || len(took) != 2 || took[0] != 2*time.Second || took[1] != 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestArrivalOfEventsWithoutAnID(t *testing.T) {
	for name, early := range map[string]bool{"applied before its place was known": true, "applied after": false} {
		a := NewArrivals(2)
		e := a.expect("", sent)
		if early {
			fenced(a, 0, 1, messageID(5), time.Millisecond)
			fenced(a, 1, 1, messageID(5), 2*time.Millisecond)
			a.kept(e, 5)
		} else {
			a.kept(e, 5)
			fenced(a, 0, 1, messageID(5), time.Millisecond)
			fenced(a, 1, 1, messageID(5), 2*time.Millisecond)
		}
		if _, _, took := a.counts(0); !isSettled(a) || len(took) != 1 || took[0] != 2*time.Millisecond {
			t.Errorf("%s: took %v", name, took)
		}
		// A restarted node applies it again; nobody waits for that.
		fenced(a, 0, 1, messageID(5), time.Second)
		if len(a.early) != 0 {
			t.Errorf("%s: %d old fences are remembered", name, len(a.early))
		}
	}
}

func TestStoppedMemberIsNotWaitedFor(t *testing.T) {
	a := NewArrivals(2)
	a.expect("before", sent)
	fenced(a, 0, 1, "before", time.Millisecond)
	a.stopped(1)
	if _, _, took := a.counts(0); !isSettled(a) || len(took) != 0 {
		t.Errorf("settled %v; times %v of an event whose last node is not known", isSettled(a), took)
	}
	a.expect("while", sent)
	fenced(a, 0, 2, "while", time.Millisecond)
	if !isSettled(a) {
		t.Error("an event waits for a stopped member")
	}
	a.started(1)
	a.expect("after", sent)
	fenced(a, 0, 3, "after", time.Millisecond)
	fenced(a, 1, 2, "while", time.Millisecond) // catching up
	if isSettled(a) {
		t.Error("an event does not wait for a member that is back")
	}
	fenced(a, 1, 3, "after", time.Millisecond)
	if !isSettled(a) {
		t.Error("still waiting")
	}
}

func TestQuantile(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(99-i))
	}
	if a, b, c := quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1); a != 50 || b != 99 || c != 99 {
		t.Errorf("p50 %d, p99 %d, p100 %d", a, b, c)
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}
