package disk

import (
	"fmt"
	"testing"

	"github.com/raptorflow/tercet/internal/tiers"
)

func TestFilterForgetsNothing(t *testing.T) {
	f := newFilter()
	if !f.mayHave("k") {
		t.Fatal("a filter that has not learnt yet said that a key is not there")
	}
	f.ready.Store(true)
	const n = 200_000
	added := 0
	check := func(upTo int) {
		t.Helper()
		for ; added < upTo; added++ {
			f.add(fmt.Sprintf("product:%d:detail", added))
		}
		wrong := 0
		for i := range added {
			if !f.mayHave(fmt.Sprintf("product:%d:detail", i)) {
				t.Fatalf("key %d of %d was added and is not there", i, added)
			}
			if f.mayHave(fmt.Sprintf("customer:%d:cart", i)) {
				wrong++
			}
		}
		if wrong > added/1000+1 {
			t.Errorf("%d of %d keys that were never added may be there", wrong, added)
		}
	}
	check(smallKeys - 1)
	if f.room.Load() <= 0 {
		t.Fatal("the small filter is full too early")
	}
	check(smallKeys + smallKeys/100)
	if f.room.Load() > 0 {
		t.Fatal("the small filter is in use beyond its room")
	}
	check(n)
}

// A store that is opened again answers from the first moment on, and once it
// has learnt its keys it knows them all, fences as well as copies.
func TestFilterOfAStoreOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		s, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	const n = 3000
	b := s.Batch(0)
	for i := range n {
		b.FenceKey(fmt.Sprintf("k%d", i), 7)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	check := func() {
		for i := range n {
			f, err := s.Lookup(fmt.Sprintf("k%d", i), nil)
			if err != nil || f.Fence != (tiers.Fence{Hard: 7, Soft: 7}) {
				t.Fatalf("k%d: %+v, %v", i, f, err)
			}
		}
	}
	check()
	<-s.learnt
	if !s.filter.ready.Load() {
		t.Fatal("the filter never became ready")
	}
	check()
	if f, err := s.Lookup("never", nil); err != nil || f.Fence != (tiers.Fence{}) || f.Entry != nil {
		t.Errorf("a key that was never written: %+v, %v", f, err)
	}
}
