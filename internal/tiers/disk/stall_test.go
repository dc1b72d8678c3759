package disk

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// A disk that takes no more writes holds up fences for the stall limit, not
// for ever.
func TestStallIsDeath(t *testing.T) {
	release := make(chan struct{})
	hang := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			<-release
		}
		return nil
	})}
	cfg := Config{Dir: "d", FS: errorfs.Wrap(vfs.NewMem(), hang), MemTableBytes: 256 << 10, StallLimit: 50 * time.Millisecond}
	s := open1(t, cfg)
	hang.On()
	err := write(t, s, 0, 100_000)
	close(release)
	hang.Off()
	if !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("write: %v, want ErrUnavailable", err)
	}
	awaitDeath(t, s)
	if !errors.Is(s.Err(), errStall) {
		t.Fatalf("dead of %v, want a stall", s.Err())
	}
	closeAndReopen(t, s, cfg)
}

// While pebble takes no writes, what was committed is seen all the same, and
// whoever applies the log doesn't wait.
func TestCommitsDuringAStall(t *testing.T) {
	s := open1(t, Config{})
	if err := errors.Join(
		s.Fill(0, tiertest.Entry(t, "fenced", 1, "old"), nil),
		s.Fill(0, tiertest.Entry(t, "softened", 1, "old"), nil),
		s.Fill(0, tiertest.Entry(t, "dropped", 1, "old"), nil),
	); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer close(release)
	stuck := &hang{begun: make(chan struct{}), until: release}
	s.jobs <- stuck
	<-stuck.begun

	b := s.Batch(0)
	b.FenceKey("fenced", 5)
	if err := b.SoftenKey("softened", 5); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, b)
	want(t, s, "fenced", fence(5, 5), "")
	want(t, s, "softened", fence(0, 5), "old")
	want(t, s, "dropped", fence(0, 0), "old")

	b.PutEntry(tiertest.Entry(t, "fenced", 6, "new"))
	b.SetVersion("fenced", 3)
	if err := b.SoftenKey("softened", 7); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, b)
	want(t, s, "fenced", fence(6, 6), "new")
	want(t, s, "softened", fence(0, 7), "old")
	if v, ok, err := s.Version("fenced"); v != 3 || !ok || err != nil {
		t.Fatalf("version %d, %v, %v", v, ok, err)
	}

	b.DropValues()
	b.FenceKey("again", 9)
	mustCommit(t, b)
	want(t, s, "again", fence(9, 9), "")
	for _, k := range []string{"fenced", "softened", "dropped"} {
		want(t, s, k, fence(0, 0), "")
	}
	if _, ok, err := s.Version("fenced"); ok || err != nil {
		t.Fatalf("a version that was dropped: %v, %v", ok, err)
	}

	release <- struct{}{}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := s.pending.n.Load(); n != 0 {
		t.Fatalf("%d commits pending after a sync", n)
	}
	want(t, s, "again", fence(9, 9), "")
	want(t, s, "fenced", fence(0, 0), "")
}

// hang is a job that takes as long as the test likes.
type hang struct{ begun, until chan struct{} }

func (h *hang) answer() chan error { return nil }

func (h *hang) do(*Store) error {
	close(h.begun)
	<-h.until
	return nil
}

// Readers never see a row go back while the writer is at work.
func TestPendingNeverGoesBack(t *testing.T) {
	s := open1(t, Config{})
	done := make(chan struct{})
	var seen sync.WaitGroup
	for range 2 {
		seen.Go(func() {
			var last events.Position
			for {
				select {
				case <-done:
					return
				default:
				}
				f, err := s.Lookup("k", nil)
				if err != nil || f.Fence.Hard < last {
					t.Errorf("fence %d after %d, %v", f.Fence.Hard, last, err)
					return
				}
				last = f.Fence.Hard
			}
		})
	}
	b := s.Batch(0)
	for n := events.Position(1); n <= 5_000; n++ {
		b.FenceKey("k", n)
		mustCommit(t, b)
		if f, err := s.Lookup("k", nil); err != nil || f.Fence.Hard != n {
			t.Fatalf("fence %d after the commit of %d, %v", f.Fence.Hard, n, err)
		}
	}
	close(done)
	seen.Wait()
}

// While pebble holds writes up, fills are turned away with an error of their
// own: whoever takes it for the disk's death gives up a disk that is well.
func TestFillDuringAStall(t *testing.T) {
	s := open1(t, Config{})
	e := tiertest.Entry(t, "k", 1, "v")
	s.death.stalled.Store(true)
	if err := s.Fill(0, e, nil); !errors.Is(err, tiers.ErrStalled) || !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("fill during a stall: %v, want ErrStalled", err)
	}
	if err := s.FillAll(0, []tiers.Entry{e}, nil); !errors.Is(err, tiers.ErrStalled) {
		t.Fatalf("fill of several during a stall: %v, want ErrStalled", err)
	}
	s.death.stalled.Store(false)
	if err := s.Err(); err != nil {
		t.Fatalf("the store died of a stall: %v", err)
	}
	if err := s.Fill(0, e, nil); err != nil {
		t.Fatalf("fill after the stall: %v", err)
	}
}
