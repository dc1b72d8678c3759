package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
)

var levels = map[string]consistency.Level{
	"default": {}, "bounded": consistency.Bounded(time.Second), "eventual": consistency.Eventual(),
	"strong": consistency.Strong(), "session": consistency.Session(consistency.Token{}),
}

// P18: a log that goes silent without an error is noticed by the lease. In a
// domain that fences, no level serves a copy then; loads go to the origin, and
// nobody keeps what they bring.
func TestStalledLogEndsServing(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "v")
		a.log.Inject(memlog.Faults{Deliver: func(events.Position) memlog.Route { return memlog.Stalled }})
		time.Sleep(2 * lease)
		if err := a.Serving(); !errors.Is(err, node.ErrNotServing) {
			t.Fatalf("serving: %v", err)
		}
		for name, level := range levels {
			if v, err := a.get("k", node.ReadOptions{Level: level}); !errors.Is(err, node.ErrNotServing) {
				t.Errorf("%s: %q, %v; want ErrNotServing", name, v, err)
			}
			if v, err := a.get("k", node.ReadOptions{Level: level, Load: loads("from origin")}); err != nil || v != "from origin" {
				t.Errorf("%s with a loader: %q, %v", name, v, err)
			}
		}
		a.log.Inject(memlog.Faults{})
		f.caughtUp(a)
		a.wants("k", "v") // what bypassed the cache was not kept
	})
}

// In a domain that prefers answers the copies are served, and marked.
func TestStalledLogServesMarkedCopies(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.settings.Policy = events.PolicyServe
		a := f.start("a", options{})
		a.put("k", "v")
		r, err := a.Get(context.Background(), "k", nil, node.ReadOptions{})
		if err != nil || r.Stale {
			t.Fatalf("stale %v, %v while connected", r.Stale, err)
		}
		a.log.Cut()
		time.Sleep(2 * lease)
		for name, level := range levels {
			r, err := a.Get(context.Background(), "k", nil, node.ReadOptions{Level: level})
			if level.Kind() == consistency.KindStrong {
				if !errors.Is(err, node.ErrNotServing) {
					t.Errorf("strong: %v", err)
				}
				continue
			}
			if err != nil || !r.Stale || string(r.Entry.Payload()) != "v" {
				t.Errorf("%s: stale %v, %v", name, r.Stale, err)
			}
		}
		a.log.Heal()
		f.caughtUp(a)
		if r, err := a.Get(context.Background(), "k", nil, node.ReadOptions{}); err != nil || r.Stale {
			t.Fatalf("stale %v, %v after it was healed", r.Stale, err)
		}
	})
}

// C2: a machine that slept finds its lease lapsed, though no timer fired.
func TestSuspendedMachineFindsItsLeaseLapsed(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{config: func(c *node.Config) { c.WaitTimeout = time.Millisecond }})
		a.put("k", "v")
		a.wants("k", "v")
		a.log.Cut()
		a.clock.Suspend(lease)
		if v, err := a.get("k", node.ReadOptions{Level: consistency.Eventual()}); !errors.Is(err, node.ErrNotServing) {
			t.Fatalf("%q, %v; want ErrNotServing", v, err)
		}
	})
}

// C1: fresh-as-of is when the first attempt of a pulse began, however long it
// takes to come back.
func TestFreshnessCountsFromThePulsesStart(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.log.Inject(memlog.Faults{Delay: func() time.Duration { return 3 * time.Second }})
		time.Sleep(2 * lease)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if age := a.Stats().Partitions[f.home()].FreshAge; age < 3*time.Second {
				t.Fatalf("fresh as of %v ago, though every pulse takes 3 s to come back", age)
			}
		}
	})
}

// G4, P51, C6: a strong read is answered by a pulse that began after it was
// invoked. One that had begun before does not do, and neither does the lease.
func TestStrongReadSeesWhatWasWrittenBeforeIt(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		b := f.start("b", options{config: func(c *node.Config) { c.WaitTimeout = time.Minute }})
		a.put("k", "old")
		f.caughtUp(b)
		// What is delivered to b takes its time from now on.
		const slow = 400 * time.Millisecond
		b.log.Inject(memlog.Faults{Delay: func() time.Duration { return slow }})
		for i := range 20 {
			time.Sleep(170 * time.Millisecond) // pulses of b are at all stages of their way
			a.put("first", "x")
			synctest.Wait() // this one is under way alone,
			a.put("k", fmt.Sprint(i))
			if v, err := b.get("k", node.ReadOptions{Level: consistency.Strong()}); err != nil || v != fmt.Sprint(i) {
				t.Fatalf("%q, %v; want %d", v, err, i) // and is no answer to a read of the next
			}
		}
	})
}

// G2: a read with a token waits until what it names is applied.
func TestSessionReadsItsOwnWritesElsewhere(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "old")
		f.caughtUp(b)
		b.log.Inject(memlog.Faults{Delay: func() time.Duration { return 300 * time.Millisecond }})
		token := a.put("k", "mine")
		b.wants("k", "old") // at the default level it has not heard yet
		if v, err := b.get("k", node.ReadOptions{Level: session(token)}); err != nil || v != "mine" {
			t.Fatalf("%q, %v", v, err)
		}
	})
}

// P53: a wait that was in vain ends at its deadline, with the origin or an
// error, and never with the cache. One with a token of a history that was left
// is over at once.
func TestSessionTokensThatCannotBeApplied(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		ahead := a.put("k", "v").With(f.home(), consistency.Point{Epoch: a.Epoch("k"), Position: 9999})
		if v, err := a.get("k", node.ReadOptions{Level: session(ahead)}); !errors.Is(err, node.ErrNotServing) {
			t.Errorf("ahead: %q, %v", v, err)
		}
		if v, err := a.get("k", node.ReadOptions{Level: session(ahead), Load: loads("origin")}); err != nil || v != "origin" {
			t.Errorf("ahead with a loader: %q, %v", v, err)
		}
		old := a.Epoch("k")
		f.stream.Recreate()
		f.await("another epoch", func() bool { e := a.Epoch("k"); return e != 0 && e != old })
		f.caughtUp(a)
		a.put("k", "new")
		if v, err := a.get("k", node.ReadOptions{Level: session(ahead)}); err != nil || v != "new" {
			t.Fatalf("token of the epoch left: %q, %v", v, err)
		}
	})
}

// G2: a token of an epoch that a node does not know is of one that it has not
// come to yet, or of one that the log has lost. A pulse tells.
func TestTokenOfAnEpochThatIsNotKnown(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "old")
		f.caughtUp(b)
		lost := consistency.Token{}.With(f.home(), consistency.Point{Epoch: 12345, Position: 9999})
		if v, err := b.get("k", node.ReadOptions{Level: session(lost)}); err != nil || v != "old" {
			t.Errorf("token of a lost epoch: %q, %v", v, err)
		}
		b.log.Cut()
		before := a.Epoch("k")
		if err := a.appends(&events.EpochChange{Epoch: 7}); err != nil {
			t.Fatal(err)
		}
		f.await("another epoch", func() bool { return a.Epoch("k") != before })
		later := consistency.Token{}.With(f.home(), consistency.Point{Epoch: a.Epoch("k"), Position: 1})
		if v, err := b.get("k", node.ReadOptions{Level: session(later)}); !errors.Is(err, node.ErrNotServing) {
			t.Errorf("token of an epoch to come, in vain: %q, %v", v, err)
		}
		b.log.Heal()
		if v, err := b.get("k", node.ReadOptions{Level: session(later)}); !errors.Is(err, node.ErrNotFound) {
			t.Errorf("token of an epoch to come: %q, %v", v, err)
		}
	})
}

// C5: serving ends before Leave sets out, also if the log never takes it.
func TestLeaveEndsServingFirst(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "v")
		b.log.Inject(memlog.Faults{Publish: func(events.ID, int) (memlog.Fate, time.Duration) {
			if err := b.Serving(); err == nil {
				t.Error("leaves while it serves")
			}
			return memlog.Landed, time.Second / 2
		}})
		go b.cancel()
		synctest.Wait()
		if v, err := b.get("k", node.ReadOptions{Level: consistency.Eventual()}); err == nil {
			t.Fatalf("served %q while leaving", v)
		}
		<-b.done
		f.await("the others to see it leave", func() bool { return a.Stats().Members == 1 })
		if _, err := b.Put(context.Background(), "k", []byte("w"), node.PutOptions{}); !errors.Is(err, events.ErrNotLanded) {
			t.Fatalf("put on a node that left: %v", err)
		}
	})
}

// P12, P31: a node that starts serves nothing before its own first pulse came
// back, whatever its disk holds.
func TestJoinGateHoldsUntilTheFirstPulse(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "old")
		f.caughtUp(b)
		b.sync()
		fs := b.crash(100)
		a.put("k", "new")
		b = f.start("b", options{fs: fs, early: true, faults: memlog.Faults{Delay: func() time.Duration { return time.Second }}})
		f.pass(lease / 50) // it runs, and the log is slow
		if v, err := b.get("k", node.ReadOptions{Level: consistency.Eventual()}); err == nil && v != "new" {
			t.Fatalf("served %q before it had joined", v)
		}
		b.awaitReady()
		b.wants("k", "new")
	})
}
