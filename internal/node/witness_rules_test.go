package node_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
)

// inWitnessedFleet runs test where nodes share an L2 and a witness, which a
// barrier can hold up.
func inWitnessedFleet(t *testing.T, test func(t *testing.T, f *fleet, raising *barrier, witnessed options)) {
	t.Helper()
	inDomains(t, func(t *testing.T, f *fleet) {
		raising, witnessed := f.slowlyWitnessed()
		defer raising.open()
		test(t, f, raising, witnessed)
	})
}

// slowlyWitnessed gives the fleet an L2 and a witness, and returns the barrier.
func (f *fleet) slowlyWitnessed() (raising *barrier, witnessed options) {
	f.shared, f.witness = newSharedTier(), &memoryWitness{}
	raising = &barrier{}
	return raising, options{deps: func(d *node.Deps) { d.Witness = slowWitness{f.witness, raising} }}
}

// witnessed is how far the witness covers f.stream.
func (f *fleet) witnessed() events.Position {
	kept, _ := f.witness.Read(f.t.Context(), f.home())
	return kept.Position
}

// H6, P13: a write returns once the witness covers its record.
func TestWriteReturnsOnceItIsWitnessed(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, _ *barrier, o options) {
		a := f.start("a", o)
		token := a.put("k", "v")
		if at := token.At(f.home()).Position; f.witnessed() < at {
			t.Fatalf("put at %d returned while the witness was at %d", at, f.witnessed())
		}
	})
}

// H5: no copy leaves the process before the witness covers its birth.
func TestCopiesWaitForTheWitness(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, raising *barrier, o options) {
		a := f.start("a", o)
		raising.shut()
		ctx, cancel := context.WithTimeout(context.Background(), lease/5)
		defer cancel()
		token, err := a.Put(ctx, "k", []byte("v"), node.PutOptions{})
		if err == nil {
			t.Fatal("put returned without its witness")
		}
		if _, err := f.shared.Get(ctx, "k", nil); err == nil {
			t.Fatalf("copy born at %d lies in L2 while the witness is at %d", token.At(f.home()).Position, f.witnessed())
		}
	})
}

// H3: a pulse makes nobody fresh before the witness was raised to it.
func TestFreshnessWaitsForTheWitness(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, raising *barrier, o options) {
		raising.shut()
		o.early = true
		a := f.start("a", o)
		time.Sleep(lease / 2)
		if err := a.Serving(); !errors.Is(err, node.ErrNotServing) {
			t.Fatalf("serving before the witness was raised: %v", err)
		}
		raising.open()
		synctest.Wait()
		if err := a.Serving(); err != nil {
			t.Fatalf("not serving though the witness was raised: %v", err)
		}
	})
}

// H3, G8: everybody who had applied the log's tail is gone, and so is the
// tail; only the witness remembers. Whoever starts then opens a new epoch,
// whether the log has not grown back to the witness's place, or has grown past
// it with other records.
func TestWitnessProvesALossThatNobodyRemembers(t *testing.T) {
	for name, grow := range map[string]int{"shorter": 0, "other records": 40} {
		t.Run(name, func(t *testing.T) {
			inWitnessedFleet(t, func(t *testing.T, f *fleet, _ *barrier, o options) {
				a := f.start("a", o)
				_, kept := f.stream.Bounds()
				for range 10 {
					a.put("k", "lost")
				}
				old := a.Epoch("k")
				a.crash(0)
				f.stream.Rollback(kept)
				for range grow {
					f.stream.AppendForeign([]byte("another record"))
				}
				began := time.Now()
				b := f.start("b", o)
				if took := time.Since(began); took > lease/2 {
					t.Errorf("took %v to find out; the first pulse tells", took)
				}
				f.caughtUp(b)
				if e := b.Epoch("k"); e == old {
					t.Fatalf("still in epoch %s, which lost its tail", old)
				}
				b.wants("k", "")
			})
		})
	}
}

// H3, G8: a pulse from before a change of history proves nothing behind it,
// though its witness is slow and the old epoch is read through once more.
func TestPulseFromBeforeTheChangeMakesNobodyFresh(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, raising *barrier, o options) {
		a := f.start("a", o)
		a.put("k", "v")
		raising.shut()
		time.Sleep(lease / 4) // a pulse is applied and waits for the witness
		old := a.Epoch("k")
		if err := a.appends(&events.Invalidate{Scope: ofK}); err != nil {
			t.Fatal(err)
		}
		f.caughtUp(a)
		_, last := f.stream.Bounds()
		a.log.Inject(memlog.Faults{Deliver: func(p events.Position) memlog.Route {
			if p >= last {
				return memlog.Stalled
			}
			return memlog.Delivered
		}})
		f.stream.Rollback(last - 1)
		f.await("the old epoch to be read again", func() bool {
			return a.Stats().Regressions == 1 && a.Epoch("k") == old && a.Stats().Partitions[f.home()].Applied == last-1
		})
		raising.open()
		synctest.Wait()
		if err := a.Serving(); err == nil {
			t.Fatal("serving in the epoch that it has left")
		}
	})
}

// H3, G8, ADR 0018: a node that reads again what it had left, and comes to its
// own pulse without the epochs that it knows to have followed, has met a log
// that lost them, though nobody else remembers.
func TestEpochsThatTheLogLostAreMissed(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "v")
		first := a.Epoch("k")
		_, last := f.stream.Bounds()
		kept := last - 1
		f.stream.Rollback(kept)
		f.await("the second epoch", func() bool { return a.Epoch("k") != first && a.Serving() == nil })
		a.log.Inject(memlog.Faults{Deliver: func(p events.Position) memlog.Route {
			if p > kept {
				return memlog.Stalled
			}
			return memlog.Delivered
		}})
		_, last = f.stream.Bounds()
		f.stream.Rollback(last - 1)
		f.await("the first epoch to be read again", func() bool {
			return a.Epoch("k") == first && a.Stats().Partitions[f.home()].Applied == kept
		})
		f.stream.Rollback(kept)
		a.log.Inject(memlog.Faults{})
		f.await("another epoch", func() bool { return a.Serving() == nil })
		if e := a.Epoch("k"); e == first {
			t.Fatalf("serving in epoch %s although the log has lost what ended it", e)
		}
		a.wants("k", "")
	})
}
