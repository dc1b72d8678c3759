package disk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// However long pebble is held up, the log's small batches go on: commits join
// while they wait. What they held is seen at once, and is on disk afterwards.
func TestCommitsJoinDuringAStall(t *testing.T) {
	s := open1(t, Config{})
	release := make(chan struct{})
	stuck := &hang{begun: make(chan struct{}), until: release}
	s.jobs <- stuck
	<-stuck.begun

	const n = 20 * pendingMax
	key := func(i int) string { return fmt.Sprint("k", i%(n/2)) } // each twice
	b := s.Batch(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 1; i <= n; i++ {
			at := events.Position(i)
			if i%3 == 0 {
				b.PutEntry(tiertest.Entry(t, key(i), at, fmt.Sprint("v", i)))
				b.SetVersion(key(i), uint64(i))
			} else {
				b.FenceKey(key(i), at)
			}
			b.SetMeta("place", fmt.Append(nil, i))
			if err := b.Commit(); err != nil {
				t.Errorf("commit %d: %v", i, err)
				return
			}
			if f, err := s.Lookup(key(i), nil); err != nil || f.Fence.Hard != at {
				t.Errorf("fence %d after the commit of %d, %v", f.Fence.Hard, i, err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		close(release)
		<-done
		t.Fatal("commits wait for a writer that is held up")
	}
	if n := s.pending.n.Load(); n > 4 {
		t.Errorf("%d commits wait for the writer, want a few large ones", n)
	}
	check := func() {
		t.Helper()
		for i := n/2 + 1; i <= n; i++ {
			value := ""
			if i%3 == 0 {
				value = fmt.Sprint("v", i)
				if v, known, err := s.Version(key(i)); v != uint64(i) || !known || err != nil {
					t.Fatalf("version %d, %v, %v, want %d", v, known, err, i)
				}
			}
			want(t, s, key(i), fence(events.Position(i), events.Position(i)), value)
		}
	}
	check()
	close(release)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := s.pending.n.Load(); n != 0 {
		t.Fatalf("%d commits pending after a sync", n)
	}
	check()
	if got, err := s.Meta(0, "place"); string(got) != fmt.Sprint(n) || err != nil {
		t.Fatalf("place %q, %v, want %d", got, err, n)
	}
}

// A partition that drops everything does so behind what it has committed, and
// before what it commits then; no other joins in.
func TestDropDuringAStall(t *testing.T) {
	s := open1(t, Config{Partitions: 2, Partition: func(key string) int {
		if strings.HasPrefix(key, "other") {
			return 1
		}
		return 0
	}})
	release := make(chan struct{})
	stuck := &hang{begun: make(chan struct{}), until: release}
	s.jobs <- stuck
	<-stuck.begun
	b, other := s.Batch(0), s.Batch(1)
	b.FenceKey("before", 1)
	mustCommit(t, b)
	other.FenceKey("other", 1)
	mustCommit(t, other)
	b.DropValues()
	b.FenceKey("with", 2)
	mustCommit(t, b)
	b.FenceKey("behind", 3)
	mustCommit(t, b)
	check := func() {
		t.Helper()
		want(t, s, "before", fence(0, 0), "")
		want(t, s, "with", fence(2, 2), "")
		want(t, s, "behind", fence(3, 3), "")
		want(t, s, "other", fence(1, 1), "")
	}
	check()
	close(release)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	check()
}

// What the writer has begun to write takes in nothing more: it would be seen, and
// never written.
func TestBegunCommitIsClosed(t *testing.T) {
	s := open1(t, Config{})
	release := make(chan struct{})
	stuck := &hang{begun: make(chan struct{}), until: release}
	s.jobs <- stuck
	<-stuck.begun
	defer close(release)
	b := s.Batch(0)
	b.FenceKey("first", 1)
	mustCommit(t, b)
	s.pending.begin(s.pending.commits[0])
	b.FenceKey("second", 2)
	mustCommit(t, b)
	if n := s.pending.n.Load(); n != 2 {
		t.Fatalf("%d commits wait, want 2: one that is begun, and the next", n)
	}
}
