package disk

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
)

// fenceMany commits n fences at p.
func fenceMany(t *testing.T, b *Batch, n int, p events.Position) {
	t.Helper()
	for i := range n {
		b.FenceKey(fmt.Sprint("k", i), p)
	}
	mustCommit(t, b)
}

// What a node that catches up commits is written much at a time, and seen at
// once.
func TestCommitsGather(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		s := open1(t, Config{})
		b, began := s.Batch(0), time.Now()
		for p := events.Position(1); p <= 10; p++ {
			fenceMany(t, b, gatherLeast, p)
			synctest.Wait()
			want(t, s, "k7", fence(p, p), "")
		}
		if n := s.pending.n.Load(); n != 1 {
			t.Fatalf("%d commits are pending, want one", n)
		}
		for s.pending.n.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > gatherFor+time.Millisecond {
			t.Errorf("written after %v, want %v", took, gatherFor)
		}
		want(t, s, "k7", fence(10, 10), "")
	})
}

// Nobody waits for what gathers: not who asks the writer for something, not a
// commit that finds no room in it, and not the few that come one by one.
func TestGatheringDelaysNobody(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		s := open1(t, Config{})
		b, began := s.Batch(0), time.Now()
		fenceMany(t, b, gatherLeast-1, 1)
		synctest.Wait()
		if n := s.pending.n.Load(); n != 0 {
			t.Errorf("%d commits are pending, of a node that does not catch up", n)
		}
		fenceMany(t, b, gatherLeast, 2)
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		for p := events.Position(3); p < 3+2*gatherRows/gatherLeast; p++ {
			fenceMany(t, b, gatherLeast, p)
			synctest.Wait()
		}
		if n := s.pending.n.Load(); n > 1 {
			t.Errorf("%d commits are pending, want one", n)
		}
		fenceMany(t, b, gatherLeast, 1000)
		synctest.Wait()
		fenceMany(t, b, 1, 1001) // it has caught up
		synctest.Wait()
		if n := s.pending.n.Load(); n != 0 {
			t.Errorf("%d commits are pending, of a node that has caught up", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}
