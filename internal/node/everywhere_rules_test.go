package node_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
)

var ofK = events.Scope{Keys: []string{"k"}}

// everywhere invalidates k and returns once that holds everywhere.
func (m *member) everywhere() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*lease)
	defer cancel()
	_, err := m.Invalidate(ctx, events.Invalidate{Scope: ofK}, node.InvalidateOptions{Concern: node.Everywhere})
	return err
}

// holdsToG5 lets a invalidate k everywhere, and checks at the moment when it
// returns that b serves nothing older. It returns how long that took.
func holdsToG5(t *testing.T, a, b *member) time.Duration {
	t.Helper()
	began := time.Now()
	if err := a.everywhere(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	for name, level := range map[string]consistency.Level{"default": {}, "eventual": consistency.Eventual()} {
		if v, err := b.get("k", node.ReadOptions{Level: level}); err == nil {
			t.Fatalf("%s served %q after it was invalidated everywhere", name, v)
		}
	}
	return took
}

// pair starts two nodes that hold k, with leases on which nothing weighs from
// before.
func (f *fleet) pair(oa, ob options) (a, b *member) {
	f.t.Helper()
	a, b = f.start("a", oa), f.start("b", ob)
	time.Sleep(3 * lease)
	a.put("k", "old")
	f.caughtUp(b)
	// Copies move into memory by and by.
	for held := false; !held; _, held = b.memory.Lookup("k", nil) {
		b.wants("k", "old")
	}
	return a, b
}

// G5, P46: who is in the log is waited for, however long it has been silent,
// until its lease has passed.
func TestEverywhereWaitsForTheSilent(t *testing.T) {
	for name, silent := range map[string]time.Duration{"just now": 0, "two pulses": 2*lease/5 + lease/10, "almost gone": lease - lease/10} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				a, b := f.pair(options{}, options{})
				b.log.Cut()
				time.Sleep(silent)
				if took := holdsToG5(t, a, b); took > f.settings.LeaseWait()+time.Second {
					t.Fatalf("returned after %v, want a lease's length at most", took)
				}
			})
		})
	}
}

// C3: the one who waits may have the faster clock, the one who holds the
// slower.
func TestEverywhereAllowsForDrift(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.settings.DriftPPM = 100_000
		fast := func(d *node.Deps) { d.Clock = driftingClock{d.Clock.(*clocktest.Clock), 100_000} }
		slow := func(d *node.Deps) { d.Clock = driftingClock{d.Clock.(*clocktest.Clock), -100_000} }
		a, b := f.pair(options{deps: fast}, options{deps: slow})
		b.log.Cut()
		holdsToG5(t, a, b)
	})
}

// C2: a jump of the writer's wall clock ends no wait.
func TestEverywhereWaitsByAClockThatDoesNotJump(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		b.log.Cut()
		go func() {
			time.Sleep(lease / 10)
			a.clock.Suspend(10 * lease)
		}()
		holdsToG5(t, a, b)
	})
}

// P46: a pulse from behind the write, of a member that applies nothing, does
// not make it one that joined later.
func TestEverywhereWaitsForOneThatOnlyPulses(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		b.log.Inject(memlog.Faults{Deliver: func(events.Position) memlog.Route { return memlog.Stalled }})
		// P49: nor may such pulses hold the write up for ever.
		if took := holdsToG5(t, a, b); took > f.settings.LeaseWait()+time.Second {
			t.Fatalf("returned after %v, want a lease's length at most", took)
		}
	})
}

// P48: what is applied is what every tier has: neither a pulse nor a
// confirmation runs ahead of the disk.
func TestNobodyConfirmsAheadOfTheDisk(t *testing.T) {
	for _, peers := range []bool{false, true} {
		inDomains(t, func(t *testing.T, f *fleet) {
			connect := func(*node.Deps) {}
			if peers {
				board := newSwitchboard()
				connect = func(d *node.Deps) { d.Peers = board }
			}
			commits := &barrier{}
			a, b := f.pair(options{deps: connect}, options{deps: connect, wrap: func(d node.Disk) node.Disk { return slowDisk{d, commits} }})
			commits.shut()
			defer commits.open()
			// b's world has the record when a asks.
			a.log.Inject(memlog.Faults{Delay: func() time.Duration { return lease / 50 }})
			holdsToG5(t, a, b)
		})
	}
}

// forgetful is a switchboard that counts questions and loses confirmations.
type forgetful struct {
	*switchboard
	asked, lost atomic.Int32
	lose        int32
}

func (f *forgetful) Ask(q node.Question) error {
	f.asked.Add(1)
	return f.switchboard.Ask(q)
}

func (f *forgetful) Confirm(to events.Incarnation, c node.Confirmation) error {
	if f.lost.Add(1) <= f.lose {
		return nil
	}
	return f.switchboard.Confirm(to, c)
}

// P48: the record itself asks for confirmations, whoever applies it first. Where
// one is missing, a question follows.
func TestRecordsAskForConfirmations(t *testing.T) {
	for name, tc := range map[string]struct {
		lose, asked int32
		late        time.Duration
		within      time.Duration
	}{
		"at once":            {0, 0, 0, time.Millisecond},
		"the writer is late": {0, 0, 3 * time.Millisecond, 4 * time.Millisecond},
		"lost":               {1, 1, 0, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				board := &forgetful{switchboard: newSwitchboard(), lose: tc.lose}
				connect := func(d *node.Deps) { d.Peers = board }
				a, b := f.pair(options{deps: connect}, options{deps: connect})
				board.asked.Store(0)
				board.lost.Store(0)
				a.log.Inject(memlog.Faults{Delay: func() time.Duration { return tc.late }})
				if took := holdsToG5(t, a, b); took > tc.within || board.asked.Load() != tc.asked {
					t.Errorf("returned after %v and %d questions, want %v and %d", took, board.asked.Load(), tc.within, tc.asked)
				}
			})
		})
	}
}

// P48: nobody is woken for a position that the tiers lack.
func TestSessionWaitsForTheDisk(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		commits := &barrier{}
		a, b := f.pair(options{}, options{wrap: func(d node.Disk) node.Disk { return slowDisk{d, commits} }})
		commits.shut()
		defer commits.open()
		token := a.invalidate(ofK)
		if v, err := b.get("k", node.ReadOptions{Level: session(token)}); err == nil {
			t.Fatalf("served %q to a session that has seen its end", v)
		}
	})
}

// H2: what does not come from this history confirms nothing.
func TestForeignConfirmationsDoNotCount(t *testing.T) {
	for name, forge := range map[string]func(real *events.Pulse, c *node.Confirmation){
		"of a number":     func(*events.Pulse, *node.Confirmation) {},
		"of another past": func(_ *events.Pulse, c *node.Confirmation) { c.Digest[0]++ },
		"of another epoch": func(real *events.Pulse, c *node.Confirmation) {
			c.At, c.Digest, c.Epoch = real.Applied, real.Digest, real.Epoch+1
		},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				board := newSwitchboard()
				a, b := f.pair(options{deps: func(d *node.Deps) { d.Peers = board }}, options{})
				self, other := incarnationOf(t, a.Node, "a"), incarnationOf(t, a.Node, "b")
				b.log.Cut()
				go func() {
					time.Sleep(2 * lease / 5) // a pulse of a's stands behind the write then
					real := f.lastPulse()
					c := node.Confirmation{Epoch: real.Epoch, At: real.Applied, Incarnation: other}
					forge(real, &c)
					if err := board.Confirm(self, c); err != nil {
						t.Error(err)
					}
				}()
				holdsToG5(t, a, b)
			})
		})
	}
}

// H2, H4: nor does a pulse whose sender is in another epoch, or of another
// history, whatever number it reports.
func TestForeignPulsesDoNotConfirm(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		other := incarnationOf(t, a.Node, "b")
		b.log.Cut()
		if err := a.appends(&events.Pulse{Node: "b", Incarnation: other, Number: 1000, Epoch: a.Epoch("k") + 1, Applied: 1 << 40}); err != nil {
			t.Fatal(err)
		}
		holdsToG5(t, a, b)
	})
}

// P47: a writer that has just started has not heard of anybody; members that
// its checkpoint names count as heard at its start.
func TestEverywhereAfterARestartWaitsForWhoWasThere(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		f.caughtUp(a)
		a.sync()
		b.log.Cut()
		a = f.start("a", options{fs: a.crash(100)})
		holdsToG5(t, a, b)
	})
}

// H4: an epoch voids what a writer knew of members; until a lease has passed
// there may be some that it can't know.
func TestEverywhereAfterAnEpochWaitsForStrangers(t *testing.T) {
	for name, begin := range map[string]func(a *member, f *fleet){
		"opened by another": func(a *member, f *fleet) {
			if err := a.appends(&events.EpochChange{Epoch: 4711, Why: "test"}); err != nil {
				f.t.Fatal(err)
			}
		},
		"opened by itself": func(_ *member, f *fleet) {
			_, last := f.stream.Bounds()
			f.stream.Rollback(last - 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				a, b := f.pair(options{}, options{})
				b.log.Cut()
				before := a.Epoch("k")
				begin(a, f)
				f.await("the epoch", func() bool { e := a.Epoch("k"); return e != before && e != 0 && a.Serving() == nil })
				holdsToG5(t, a, b)
			})
		})
	}
}

// C4: other records than pulses keep nobody fresh; writers count pulses only.
func TestWritesDoNotExtendTheLease(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		pulses := &barrier{}
		defer pulses.open()
		a := f.start("a", options{deps: func(d *node.Deps) { d.Committers[0] = pulseless{d.Committers[0], pulses} }})
		a.put("k", "v")
		pulses.shut()
		for range 2 * 5 {
			time.Sleep(lease / 5)
			a.put("other", "v")
		}
		if err := a.Serving(); !errors.Is(err, node.ErrNotServing) {
			t.Fatalf("serving without a pulse for two leases: %v", err)
		}
	})
}

// P44: the lease under which a copy is served is the one that held when it was
// taken.
func TestCopyTakenWithoutALeaseIsNotServedUnderTheNext(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		lookups := &barrier{}
		a, b := f.pair(options{}, options{deps: func(d *node.Deps) { d.Memory = slowMemory{d.Memory, lookups} }})
		b.log.Cut()
		if err := a.everywhere(); err != nil {
			t.Fatal(err)
		}
		lookups.shut()
		r := b.reads("k", nil) // has the old copy in hand, and no lease
		b.log.Heal()
		f.await("the node to be fresh again", func() bool { return b.Serving() == nil })
		lookups.open()
		<-r.done
		if r.err == nil {
			t.Fatalf("served %q, which was taken while the lease had lapsed", r.value)
		}
	})
}

// H2, P12: a writer finds out that another record took its place.
func TestWriteWhoseRecordWasLostIsNotConfirmed(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		time.Sleep(lease / 10) // no pulse is under way
		_, last := f.stream.Bounds()
		a.log.Inject(memlog.Faults{Deliver: func(p events.Position) memlog.Route {
			if p > last {
				return memlog.Stalled
			}
			return memlog.Delivered
		}})
		result := make(chan error, 1)
		go func() {
			_, err := a.Put(context.Background(), "k", []byte("v"), node.PutOptions{})
			result <- err
		}()
		synctest.Wait()
		if _, now := f.stream.Bounds(); now != last+1 {
			t.Fatalf("the log ends at %d, want the put at %d", now, last+1)
		}
		f.stream.Rollback(last)
		f.stream.AppendForeign([]byte("another record"))
		a.log.Inject(memlog.Faults{})
		if err := <-result; !errors.Is(err, events.ErrIndeterminate) {
			t.Fatalf("put whose record was lost: %v, want indeterminate", err)
		}
	})
}

// G2: a write returns once its own node serves nothing older.
func TestWriteReturnsOnceItIsApplied(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "old")
		a.log.Inject(memlog.Faults{Delay: func() time.Duration { return lease / 10 }})
		a.put("k", "new")
		a.wants("k", "new")
	})
}
