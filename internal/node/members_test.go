package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// H3: the witness knows of records that this node has not applied, among them
// perhaps the pulse of a member that the write did not wait for. The write is in
// the log, and whether it is everywhere is not known: it does not return as if
// it were.
func TestWriteBehindTheWitnessDoesNotReturnAsDone(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		// No pulse comes within the wait, which would tell of a changed history.
		f.settings.Lease = 12 * lease
		f.shared, f.witness = newSharedTier(), &memoryWitness{}
		a := f.start("a", options{})
		a.put("k", "first")
		f.pass(f.settings.LeaseWait() + time.Second) // the epoch has settled, and the last pulse was a moment ago
		ahead, _ := f.witness.Read(t.Context(), f.home())
		kept := ahead
		ahead.Position += 100
		ahead.Digest[0]++
		_, _ = f.witness.Raise(t.Context(), f.home(), kept, ahead)
		for concern, name := range map[node.Concern]string{node.Logged: "logged", node.Everywhere: "everywhere"} {
			token, err := a.Invalidate(context.Background(), events.Invalidate{Scope: ofK}, node.InvalidateOptions{Concern: concern})
			if err == nil {
				t.Errorf("a write of concern %s returned as done behind the witness %v %+v", name, token, a.Stats())
				continue
			}
			var e *node.Error
			if !errors.As(err, &e) || e.Position == 0 || token.At(f.home()).Position != e.Position {
				t.Errorf("concern %s: %v does not say where the write stands (%v)", name, err, token.At(f.home()))
			}
		}
	})
}

// count returns how many members a knows, itself included.
func (m *member) count() int { return len(m.Members()) }

// P46: a member that died without a farewell costs Everywhere writes its lease
// and no more, and is forgotten once nobody can doubt that it is over; not
// before.
func TestDeadMemberIsForgotten(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		b := f.start("b", options{})
		f.pass(2 * lease) // the epoch has settled, both have pulsed
		b.crash(0)
		died := time.Now()
		wait := f.settings.LeaseWait()
		for time.Since(died) < 3*wait {
			if n := a.count(); n != 2 {
				t.Fatalf("%d members %v after one died: it is forgotten while a slow clock might still grant it a lease", n, time.Since(died))
			}
			f.pass(lease / 10)
		}
		f.await("the dead member to be forgotten", func() bool { return a.count() == 1 })
		if took := time.Since(died); took > 5*wait+lease {
			t.Errorf("forgotten after %v, four leases are %v", took, 4*wait)
		}
		began := time.Now()
		if _, err := a.Put(context.Background(), "k", nil, node.PutOptions{Concern: node.Everywhere}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > lease/5 {
			t.Errorf("an Everywhere write still waits %v", took)
		}
	})
}

// G5: a member that was cut off for so long that it was forgotten joins anew
// behind its pulse, and has served nothing in between.
func TestForgottenMemberServesNothingOld(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		b := f.start("b", options{})
		a.put("k", "old")
		if got, err := b.get("k", node.ReadOptions{Level: consistency.Strong()}); err != nil || got != "old" {
			t.Fatalf("%q, %v", got, err)
		}
		f.pass(2 * lease)
		b.cut()
		f.await("the cut-off member to be forgotten", func() bool { return a.count() == 1 })
		if _, err := a.Put(context.Background(), "k", []byte("new"), node.PutOptions{Concern: node.Everywhere}); err != nil {
			t.Fatal(err)
		}
		read := func() {
			if got, err := b.get("k", node.ReadOptions{Level: consistency.Eventual()}); err == nil && got != "new" {
				t.Fatalf("the forgotten member serves %q", got)
			}
		}
		read()
		b.heal()
		f.await("it to join anew", func() bool { read(); return a.count() == 2 && b.Serving() == nil })
		b.wants("k", "new")
	})
}
