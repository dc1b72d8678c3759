package node_test

import (
	"context"
	"testing"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// G8: the log lost its tail; a node that had applied it drops what it holds,
// opens a new epoch and serves again.
func TestRollbackIsNoticedAndDropsEverything(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "kept")
		_, last := f.stream.Bounds()
		a.put("k", "lost")
		epoch := a.Epoch("k")
		f.stream.Rollback(last)
		f.await("a new epoch", func() bool { e := a.Epoch("k"); return e != 0 && e != epoch })
		f.caughtUp(a)
		a.wants("k", "")
		if s := a.Stats(); s.Regressions != 1 || s.Gaps != 0 {
			t.Fatalf("%d regressions, %d gaps", s.Regressions, s.Gaps)
		}
		a.put("k", "new")
		a.wants("k", "new")
	})
}

func TestRecreatedLogIsNoticed(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		a.put("k", "old")
		old := a.Epoch("k")
		f.stream.Recreate()
		f.await("another epoch", func() bool { e := a.Epoch("k"); return e != 0 && e != old })
		f.caughtUp(a)
		a.wants("k", "")
		// A node that never saw the old log reads the shared tier, where the
		// old copy lies.
		b := f.start("b", options{})
		b.wants("k", "")
		if b.Stats().SharedDead == 0 {
			t.Fatal("the old copy was not there to be refused")
		}
	})
}

// A log trimmed past a node that was away: it drops its copies and joins anew,
// in the epoch that it knows from the others.
func TestTrimmedLogIsAGap(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "v")
		a.put("fenced", "v")
		f.caughtUp(b)
		epoch := a.Epoch("k")
		b.sync()
		fs := b.crash(100)
		a.invalidate(events.Scope{Keys: []string{"fenced"}})
		for range 20 {
			a.put("other", "x")
		}
		f.trim()
		b = f.start("b", options{fs: fs})
		if s := b.Stats(); s.Gaps != 1 || s.Regressions != 0 {
			t.Fatalf("%d gaps, %d regressions", s.Gaps, s.Regressions)
		}
		b.wants("k", "")
		b.wants("fenced", "")
		if b.Epoch("k") != epoch || a.Epoch("k") != epoch {
			t.Fatalf("epochs %v and %v, want %v still", a.Epoch("k"), b.Epoch("k"), epoch)
		}
	})
}

// G2 after a gap: the epoch that the node was in before, and is in again, is
// not one that it left. A token of it has to be waited for.
func TestSessionAfterAGapWaitsForItsToken(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "old")
		b.sync()
		fs := b.crash(100)
		a.put("other", "x")
		f.trim()
		b = f.start("b", options{fs: fs})
		if b.Stats().Gaps != 1 || b.Epoch("k") != a.Epoch("k") {
			t.Fatal("no gap within the epoch")
		}
		b.put("k", "mine")
		b.log.Cut()
		token := a.put("k", "newer")
		if v, err := b.get("k", node.ReadOptions{Level: session(token)}); err == nil {
			t.Fatalf("read %q before the token was applied", v)
		}
		b.log.Heal()
		f.caughtUp(b)
		if v, err := b.get("k", node.ReadOptions{Level: session(token)}); err != nil || v != "newer" {
			t.Fatalf("%q, %v", v, err)
		}
	})
}

// P19: a record that nobody can decode kills everything before it, and is no
// reason to stop.
func TestUndecodableRecordFencesEverything(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "v")
		f.stream.AppendForeign([]byte("who am I"))
		f.caughtUp(a)
		a.wants("k", "")
		if n := a.Stats().Undecodable; n != 1 {
			t.Fatalf("%d undecodable records, want 1", n)
		}
		a.put("k", "again")
		a.wants("k", "again")
		fs := a.crash(100)
		a = f.start("a", options{fs: fs})
		a.wants("k", "again")
	})
}

// P19: in the middle of an upgrade, what an older build can't read kills what is
// cached, and sets nobody apart: epoch, digests, tokens and copies stay one
// fleet's.
func TestLaterVersionLeavesTheFleetTogether(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "old")
		f.caughtUp(b)
		before := a.Epoch("k")
		f.stream.Append(events.ID{Publisher: events.Incarnation{7}, Counter: 1}, []byte{events.WireVersion + 1, 0x90})
		f.caughtUp(a)
		f.caughtUp(b)
		a.wants("k", "")
		b.wants("k", "")
		f.pass(lease)
		if a.Epoch("k") != before || b.Epoch("k") != before {
			t.Errorf("epochs %s and %s, want %s", a.Epoch("k"), b.Epoch("k"), before)
		}
		a.put("k", "new")
		if v, err := b.get("k", node.ReadOptions{Level: consistency.Strong()}); err != nil || v != "new" {
			t.Errorf("%q, %v", v, err)
		}
	})
}

// P19, P3: what can't be read may have told a position of the origin.
func TestUndecodableRecordHidesAPosition(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		r := &replica{at: "1", value: map[string]string{"1": "old", "2": "new"}}
		a.invalidateAt("2", ofK)
		f.stream.AppendForeign([]byte("who am I"))
		f.caughtUp(a)
		many := func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
			l, err := r.load(ctx, "")
			return map[string]node.Loaded{"other": l}, err
		}
		for range 2 {
			if v, err := a.get("k", node.ReadOptions{Load: r.load}); err != nil || v != "from the primary" {
				t.Errorf("%q, %v", v, err)
			}
			a.wantMany(node.BatchOptions{Load: many}, []string{"other"}, "from the primary")
			a.sync() // G7
			a = f.start("a", options{fs: a.crash(100)})
		}
	})
}

// G6: a shared tier that comes back from a backup brings nothing dead to life.
func TestSharedTierRolledBackServesNothingDead(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		a.put("k", "old")
		a.put("still", "good")
		f.await("copies in the shared tier", func() bool { return len(f.shared.backup()) == 2 })
		backup := f.shared.backup()
		a.invalidate(events.Scope{Keys: []string{"k"}})
		f.shared.restore(backup)
		b := f.start("b", options{})
		b.wants("k", "")
		b.wants("still", "good")
	})
}
