package disk

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// lying counts the cursors that wait for a lookup.
func lying(s *Store) (n int) {
	for i := range s.cursors.slots {
		if s.cursors.slots[i].at.Load() != nil {
			n++
		}
	}
	return n
}

// Lookups by cursor see each kind of write, find what is there and nothing
// else, and no cursor outlives a write.
func TestCursorsSeeEveryWrite(t *testing.T) {
	s := open1(t, Config{})
	b := s.Batch(0)
	settled := func(f tiers.Fence, payload string) {
		t.Helper()
		if err := s.drained(); err != nil {
			t.Fatal(err)
		}
		for range 3 * cursorAfter {
			want(t, s, "k", f, payload)
			want(t, s, "j", fence(1, 1), "") // its neighbours are no answer
			want(t, s, "l", fence(0, 0), "")
		}
		if lying(s) != 1 {
			t.Fatalf("%d cursors after %d lookups", lying(s), 3*cursorAfter)
		}
	}
	b.FenceKey("j", 1)
	b.FenceKey("kk", 1)
	mustCommit(t, b)
	settled(fence(0, 0), "")
	if err := s.Fill(0, tiertest.Entry(t, "k", 3, "filled"), nil); err != nil {
		t.Fatal(err)
	}
	settled(fence(0, 0), "filled")
	if err := s.FillAll(0, []tiers.Entry{tiertest.Entry(t, "k", 4, "all")}, func(tiers.Entry, tiers.Fence) bool { return true }); err != nil {
		t.Fatal(err)
	}
	settled(fence(0, 0), "all")
	b.PutEntry(tiertest.Entry(t, "k", 5, "put"))
	mustCommit(t, b)
	settled(fence(5, 5), "put")
	if err := s.Remove(0, "k"); err != nil {
		t.Fatal(err)
	}
	settled(fence(5, 5), "")
	if err := s.Sync(); err != nil { // no write: the cursor may stay
		t.Fatal(err)
	}
	b.FenceKey("k", 6)
	mustCommit(t, b)
	if err := s.drained(); err != nil {
		t.Fatal(err)
	}
	if lying(s) != 0 {
		t.Fatal("a cursor keeps what was overwritten")
	}
}

// A fence whose commit has returned is seen by every lookup that begins later,
// however many run beside the writer.
func TestCursorsBesideAWriter(t *testing.T) {
	s := open1(t, Config{})
	b := s.Batch(0)
	const keys, last = 7, 3000
	var committed [keys]atomic.Uint64
	var done atomic.Bool
	var readers sync.WaitGroup
	for r := range 2 * cursorSlots {
		readers.Go(func() {
			for i := r; !done.Load(); i++ {
				k := i % keys
				runtime.Gosched() // with few processors the writer's turn would hardly come
				atLeast := events.Position(committed[k].Load())
				found, err := s.Lookup(fmt.Sprint("k", k), nil)
				if err != nil || found.Fence.Hard < atLeast {
					t.Errorf("k%d: fence %d, %v; %d was committed before", k, found.Fence.Hard, err, atLeast)
					return
				}
			}
		})
	}
	for p := range events.Position(last) {
		b.FenceKey(fmt.Sprint("k", p%keys), p)
		mustCommit(t, b)
		committed[p%keys].Store(uint64(p))
		if p%64 == 0 { // let cursors be made
			for range 2 * cursorAfter {
				want(t, s, "none", fence(0, 0), "")
			}
		}
	}
	done.Store(true)
	readers.Wait()
}
