package node_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// H3, G8: the log lost its tail, who had applied it is gone, and the log was
// trimmed past everybody else: nobody has a digest that reaches back, and the
// witness's can't be compared with any. That is no leave to go on: nobody is
// fresh before a new epoch has begun.
func TestHistoryThatNobodyCanCompareIsNotServed(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, _ *barrier, o options) {
		a := f.start("a", o)
		b := f.start("b", o)
		a.put("k", "kept")
		f.caughtUp(b)
		b.sync()
		o.fs = b.crash(0)
		_, kept := f.stream.Bounds()
		for range 10 {
			a.put("k", "lost")
		}
		f.await("the lost copy in the shared tier", func() bool {
			return string(f.shared.backup()["k"].Payload()) == "lost"
		})
		old := a.Epoch("k")
		a.crash(0)
		f.stream.Rollback(kept)
		// A writer that is nobody's member goes on, under the old epoch, past the
		// witness's place.
		for range 40 {
			f.stream.AppendForeign([]byte("another record"))
		}
		appendPulse(t, f, old)
		_, last := f.stream.Bounds()
		f.stream.Trim(last - 1)
		b = f.start("b", o)
		if e := b.Epoch("k"); e == old {
			t.Fatalf("serves in epoch %s, which lost its tail", old)
		}
		b.wants("k", "")
		if b.Stats().Traced != 0 {
			t.Error("traced a witness that lies below the log")
		}
	})
}

// The same without a witness: who has no base can't tell members of another
// history from those of its own, and a new epoch gives everyone one.
func TestNobodyGoesOnWithoutABase(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "v")
		old := a.Epoch("k")
		a.crash(0)
		appendPulse(t, f, old)
		_, last := f.stream.Bounds()
		f.stream.Trim(last)
		b := f.start("b", options{})
		if e := b.Epoch("k"); e == old {
			t.Fatalf("serves in epoch %s without a base", e)
		}
	})
}

// H3: builds of before ADR 0025 took an epoch from a member whose digest they
// could not take, and kept that in their checkpoints.
func TestCheckpointWithoutABaseIsNotTrusted(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "v")
		a.sync()
		old := a.Epoch("k")
		a = f.start("a", options{fs: a.crash(100), early: true, wrap: func(d node.Disk) node.Disk { return oldDisk{d} }})
		f.await("an epoch of its own", func() bool { return a.Epoch("k") != 0 && a.Epoch("k") != old })
	})
}

// oldDisk has a checkpoint with an epoch and without a base.
type oldDisk struct{ node.Disk }

func (d oldDisk) Meta(partition int, name string) ([]byte, error) {
	state, err := d.Disk.Meta(partition, name)
	if name != node.CheckpointName || len(state) == 0 || err != nil {
		return state, err
	}
	const inFront = 7 // values of a checkpoint stand in front of whether it has a base
	state = slices.Clone(state)
	rest := state[1:]
	for range inFront {
		if rest, err = msgp.Skip(rest); err != nil {
			return nil, err
		}
	}
	based, _, err := msgp.ReadBoolBytes(rest)
	if err != nil || !based {
		return nil, fmt.Errorf("a checkpoint that does not say that it has a base: %w", err)
	}
	copy(rest, msgp.AppendBool(nil, false))
	return state, nil
}

// appendPulse adds a pulse without a digest, as a node sends that began in a
// trimmed log: it tells the epoch and nothing else.
func appendPulse(t *testing.T, f *fleet, epoch events.Epoch) {
	t.Helper()
	_, last := f.stream.Bounds()
	who := events.Incarnation{0xb0}
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{
		&events.Pulse{Node: "gone", Incarnation: who, Number: 1, Epoch: epoch, Applied: last},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f.stream.Append(events.ID{Publisher: who, Counter: 1}, data)
}

// A node that begins in a trimmed log waits for the next pulse of a member that
// can lend it a base, and costs nobody an epoch.
func TestMemberLendsABase(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, _ *barrier, o options) {
		a := f.start("a", o)
		a.put("k", "v")
		old := a.Epoch("k")
		f.await("a pulse", func() bool { return a.Stats().Pulses > 3 })
		for range 10 {
			a.invalidate(events.Scope{Keys: []string{f.near("j")}})
		}
		appendPulse(t, f, old)
		_, last := f.stream.Bounds()
		f.stream.Trim(last)
		b := f.start("b", o)
		f.caughtUp(b)
		if e := b.Epoch("k"); e != old || a.Stats().Regressions != 0 || b.Stats().Regressions != 0 {
			t.Fatalf("b is in epoch %s and a in %s, once %s", e, a.Epoch("k"), old)
		}
	})
}

// H3: the witness is far behind a node that has restarted and remembers one
// digest only. The log's own records lead from there to it, or tell of another
// history.
func TestOldWitnessIsTraced(t *testing.T) {
	for name, tampered := range map[string]bool{"same history": false, "another history": true} {
		t.Run(name, func(t *testing.T) {
			inWitnessedFleet(t, func(t *testing.T, f *fleet, _ *barrier, o options) {
				a := f.start("a", o)
				a.put("k", "v")
				held, _ := f.witness.Read(t.Context(), f.home())
				for range 10 {
					a.put(f.near("j"), "w")
				}
				f.caughtUp(a)
				a.sync()
				o.fs = a.crash(0)
				if tampered {
					held.Digest[3]++
				}
				f.witness.set(f.home(), held) // it was away meanwhile
				a = f.start("a", o)
				synctest.Wait()
				if a.Stats().Traced == 0 {
					t.Error("nothing was compared")
				}
				if tampered {
					a.wants("k", "")
					return
				}
				a.wants("k", "v")
				if a.Stats().Regressions != 0 {
					t.Error("took its own history for another")
				}
			})
		})
	}
}

// H3: a raise takes the place of nothing that its node has not compared. Else
// the only evidence of a lost tail would be gone with whoever raised last.
func TestEvidenceIsNotRaisedOver(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, _ *barrier, o options) {
		a := f.start("a", o)
		a.put("k", "v")
		f.caughtUp(a)
		old := a.Epoch("k")
		held, _ := f.witness.Read(t.Context(), f.home())
		held.Position++
		held.Digest[0]++
		f.witness.set(f.home(), held) // of a record that the log has lost
		// The log grows past it before this node's next pulse looks.
		for range 5 {
			f.stream.AppendForeign([]byte("another record"))
		}
		_, _ = a.Put(t.Context(), "k", []byte("w"), node.PutOptions{})
		f.await("a new epoch", func() bool { return a.Epoch("k") != old })
		if a.Stats().Regressions == 0 {
			t.Error("evidence of another history was not noticed")
		}
	})
}

// A testimony gives way to a higher one of its epoch, or to another epoch, for
// a caller who has compared it or a later one.
func TestTestimonyYields(t *testing.T) {
	at := func(e events.Epoch, p events.Position, d byte) node.Testimony {
		return node.Testimony{Epoch: e, Position: p, Digest: events.Digest{d}}
	}
	none := node.Testimony{}
	for _, c := range []struct {
		kept, from, to node.Testimony
		yields         bool
	}{
		{none, none, at(1, 1, 1), true},
		{at(1, 5, 1), none, at(1, 6, 2), false},
		{at(1, 5, 1), at(1, 5, 1), at(1, 6, 2), true},
		{at(1, 5, 1), at(1, 5, 9), at(1, 6, 2), false},
		{at(1, 5, 1), at(1, 4, 1), at(1, 6, 2), false},
		{at(1, 5, 1), at(1, 7, 1), at(1, 8, 2), true},
		{at(1, 5, 1), at(1, 7, 1), at(1, 5, 2), false},
		{at(1, 5, 1), at(1, 5, 1), at(2, 1, 2), true},
		{at(1, 5, 1), at(2, 9, 1), at(2, 9, 2), false},
		{at(2, 5, 1), at(1, 9, 1), at(1, 9, 2), false},
	} {
		if got := c.kept.Yields(c.from, c.to); got != c.yields {
			t.Errorf("%v yields from %v to %v: %v, want %v", c.kept, c.from, c.to, got, c.yields)
		}
	}
}

func (w *memoryWitness) set(partition int, t node.Testimony) {
	w.mu.Lock()
	w.kept[partition] = t
	w.mu.Unlock()
}
