package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
)

const late = 100 * time.Millisecond

// slowly delivers each record late.
var slowly = memlog.Faults{Delay: func() time.Duration { return late }}

func strongly(t *testing.T, m *member, key, want string) time.Duration {
	t.Helper()
	began := time.Now()
	r, err := m.Get(context.Background(), key, nil, node.ReadOptions{Level: consistency.Strong()})
	if err != nil {
		t.Fatalf("strong read: %v", err)
	}
	if got := string(r.Entry.Payload()); got != want {
		t.Fatalf("strong read: %q, want %q", got, want)
	}
	return time.Since(began)
}

// On a log where nobody else writes, a strong read does not wait for its pulse
// to come back: the log's word that it stands right behind what was applied
// will do.
func TestStrongReadByAcknowledgement(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "v")
		f.caughtUp(a)
		a.log.Inject(slowly)
		for n := range uint64(3) {
			if took := strongly(t, a, "k", "v"); took >= late {
				t.Errorf("read %d waited %v for its pulse", n, took)
			}
			if got := a.Stats().Shortcuts; got != n+1 {
				t.Errorf("%d shortcuts, want %d", got, n+1)
			}
		}
		// Behind a record of its own that has not come back it is refused.
		go func() { _ = a.appends(&events.Invalidate{Scope: events.Scope{Keys: []string{"other"}}}) }()
		f.pass(10 * time.Millisecond)
		if took := strongly(t, a, "k", "v"); took < late*8/10 {
			t.Errorf("a read behind a record that was not applied took %v", took)
		}
		if n := a.Stats().Shortcuts; n != 3 {
			t.Errorf("%d shortcuts, want 3", n)
		}
	})
}

// A record of another node that has not come yet is waited for.
func TestShortcutIsRefusedBehindOthers(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		b.put("k", "old")
		f.caughtUp(a)
		a.wants("k", "old")
		a.log.Inject(slowly)
		b.put("k", "new")
		strongly(t, a, "k", "new")
		if n := a.Stats().Shortcuts; n != 0 {
			t.Errorf("%d shortcuts past a record that was not applied", n)
		}
	})
}

// The witness is raised to the pulse all the same, with the digest that the
// log's followers will compute there (H3).
func TestShortcutRaisesTheWitness(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		w := &memoryWitness{}
		f.witness = w
		a := f.start("a", options{})
		a.put("k", "v")
		f.caughtUp(a)
		a.log.Inject(slowly)
		strongly(t, a, "k", "v")
		_, last := f.stream.Bounds()
		kept, _ := w.Read(context.Background(), f.home())
		if kept.Position != last || a.Stats().Shortcuts != 1 {
			t.Fatalf("witness at %d, log ends at %d, %d shortcuts", kept.Position, last, a.Stats().Shortcuts)
		}
		b := f.start("b", options{}) // compares its own digest
		b.wants("k", "v")
		if r := b.Stats().Regressions; r != 0 {
			t.Errorf("another node found the witness contradicted")
		}
	})
}

// The world is ahead of the tiers while a fence is on its way to the disk. A
// pulse behind that fence proves nothing about the tiers yet (P48).
func TestShortcutWaitsForTheTiers(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		slow := &barrier{}
		a := f.start("a", options{wrap: func(d node.Disk) node.Disk { return slowDisk{d, slow} }})
		a.put("k", "v")
		f.caughtUp(a)
		slow.shut()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = a.appends(&events.Invalidate{Scope: events.Scope{Keys: []string{"k"}}})
		}()
		f.pass(100 * time.Millisecond)
		read := make(chan error, 1)
		go func() {
			_, err := a.Get(context.Background(), "k", nil, node.ReadOptions{Level: consistency.Strong()})
			read <- err
		}()
		f.pass(100 * time.Millisecond)
		select {
		case err := <-read:
			t.Errorf("a strong read ended before the tiers had the fence: %v", err)
		default:
		}
		slow.open()
		<-done
		if err := <-read; err == nil {
			t.Error("the strong read found the value that was invalidated")
		}
	})
}
