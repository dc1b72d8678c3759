package node_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// H3, H5: the log lost its tail, and everybody who had applied it died without
// a trace on disk. What remains is the witness: who starts then learns from it
// that a tail is missing, before it serves the first copy.
func TestWitnessTellsOfATailThatNobodyRemembers(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.witness, f.shared = &memoryWitness{}, newSharedTier()
		a := f.start("a", options{})
		a.put("k", "kept")
		_, kept := f.stream.Bounds()
		a.put("k", "lost")
		f.await("the lost copy in the shared tier", func() bool {
			return string(f.shared.backup()["k"].Payload()) == "lost"
		})
		lost := a.Epoch("k")
		a.crash(0)
		f.stream.Rollback(kept)
		b := f.start("b", options{})
		if b.Epoch("k") == lost {
			t.Fatal("goes on in the epoch of the lost tail")
		}
		if b.Stats().Regressions == 0 {
			t.Fatal("did not notice")
		}
		b.wants("k", "") // the kept one is of the old epoch, and the lost one too
		b.put("k", "new")
		b.wants("k", "new")
	})
}

// H5: no copy leaves the process before the witness covers its birth.
func TestNoCopyOutrunsTheWitness(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.witness, f.shared = &memoryWitness{}, newSharedTier()
		a := f.start("a", options{})
		for range 20 {
			a.put("k", "v")
			a.invalidate(events.Scope{Keys: []string{"j"}})
			if _, err := a.get("j", node.ReadOptions{Load: loads("v")}); err != nil {
				t.Fatal(err)
			}
			for key, e := range f.shared.backup() {
				if w, _ := f.witness.Read(context.Background(), f.home()); e.Birth() > w.Position {
					t.Fatalf("%s is out, born at %d; the witness is at %d", key, e.Birth(), w.Position)
				}
			}
		}
	})
}

// G5: an Everywhere write returns only when no node can serve the older value:
// one that is cut off is waited for until its lease has lapsed (C3).
func TestEverywhereWaitsOutACutOffNode(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "old")
		f.caughtUp(b)
		b.wants("k", "old")
		time.Sleep(4 * lease) // nobody is a stranger any more
		b.log.Cut()
		b.wants("k", "old") // b may: its lease runs
		written := make(chan struct{})
		var err error
		go func() {
			defer close(written)
			_, err = a.Put(context.Background(), "k", []byte("new"), node.PutOptions{Concern: node.Everywhere})
		}()
		served := time.Time{}
		for done := false; !done; {
			if v, err := b.get("k", node.ReadOptions{Level: consistency.Eventual()}); err == nil {
				if v != "old" {
					t.Fatalf("%q on a node that is cut off", v)
				}
				served = time.Now()
			}
			select {
			case <-written:
				done = true
			case <-time.After(20 * time.Millisecond):
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if served.IsZero() {
			t.Fatal("the node that was cut off never served: nothing was tried")
		}
		if v, err := b.get("k", node.ReadOptions{Level: consistency.Eventual()}); !errors.Is(err, node.ErrNotServing) {
			t.Fatalf("served %q, %v after the write was everywhere", v, err)
		}
		b.log.Heal()
		f.caughtUp(b)
		b.wants("k", "new")
	})
}

// A write that nobody has to be waited for is quick: the others' pulses say
// that they have applied it.
func TestEverywhereIsQuickAmongTheConnected(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		time.Sleep(4 * lease)
		began := time.Now()
		if _, err := a.Put(context.Background(), "k", []byte("v"), node.PutOptions{Concern: node.Everywhere}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*f.settings.PulseInterval() {
			t.Fatalf("took %v", took)
		}
		synctest.Wait()
		b.wants("k", "v")
	})
}
