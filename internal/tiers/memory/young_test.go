package memory

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

func entry(t testing.TB, key string, birth events.Position, bytes int) tiers.Entry {
	t.Helper()
	e, err := tiers.Append(nil, &tiers.Header{Key: key, Epoch: 1, Birth: birth}, []byte(strings.Repeat("x", bytes)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The oldest leaves first, whole, with what he was asked for; nobody else goes,
// whatever the sizes do to the ring.
func TestQueueIsAQueue(t *testing.T) {
	y := newYoung(youngQueues * 4000)
	type copied struct {
		key  string
		size int
	}
	var inside []copied
	leave := func(h uint64, e tiers.Entry, asked uint8) {
		first := inside[0]
		inside = inside[1:]
		if e.Key() != first.key || h != hashOf(first.key) || len(e) != len(entry(t, first.key, 1, first.size)) || asked != uint8(first.size%3) {
			t.Fatalf("%q of %d bytes leaves, asked for %d times; it is the turn of %+v", e.Key(), len(e), asked, first)
		}
	}
	for i, n := 0, 0; n < 2000; i++ {
		key := fmt.Sprint("key", i)
		if y.of(hashOf(key)) != &y.queues[0] {
			continue
		}
		n++
		size := n * 37 % 700
		y.put(hashOf(key), entry(t, key, 1, size), leave)
		inside = append(inside, copied{key, size})
		for range size % 3 {
			y.get(key, nil)
		}
		if n%5 == 0 && len(inside) > 3 {
			gone := inside[len(inside)-3]
			y.del(gone.key)
			inside = append(inside[:len(inside)-3:len(inside)-3], inside[len(inside)-2:]...)
			if _, ok := y.get(gone.key, nil); ok {
				t.Fatalf("%q is here after it was removed", gone.key)
			}
		}
		for _, x := range inside {
			if !y.peek(x.key, func(tiers.Entry) {}) {
				t.Fatalf("%q is lost", x.key)
			}
		}
	}
}

// G1: a copy that moves from young to main while its key is fenced is found in
// one place or the other.
func TestFenceFindsCopyThatMoves(t *testing.T) {
	c, err := New(Config{Bytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s, k := c.now.Load(), "moves"
	s.used.Store(true)
	s.young.put(hashOf(k), entry(t, k, 5, 100), s.leave)
	// It stands for the moment when a fence has looked at main.
	if err := s.main.Set([]byte(k), entry(t, k, 4, 100), 0); err != nil {
		t.Fatal(err)
	}
	fenced, moving := make(chan struct{}), false
	leave := func(h uint64, e tiers.Entry, _ uint8) {
		if e.Key() != k || moving {
			return
		}
		moving = true
		go func() {
			c.Fence(k, 6)
			close(fenced)
		}()
		for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); runtime.Gosched() {
			if _, err := s.main.Peek([]byte(k)); err != nil {
				break
			}
		}
		s.leave(h, e, proof)
	}
	for i := 0; !moving; i++ {
		other := fmt.Sprint("other", i)
		s.young.put(hashOf(other), entry(t, other, 1, 100), leave)
	}
	<-fenced
	if e, ok := c.Lookup(k, nil); ok {
		t.Errorf("the copy born %d outlived its key's fence at 6", e.Birth())
	}
}

// A place that was found before the cache was resized is none in what took its
// stead.
func TestPlaceEndsWithResize(t *testing.T) {
	c, err := New(Config{Bytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	x := arrival{missed: true, by: c.now.Load().admit, to: inYoung}
	if err := c.Resize(MinBytes); err != nil {
		t.Fatal(err)
	}
	if err := c.fill(entry(t, "k", 1, 100), x); err != nil || !c.Holds("k") {
		t.Errorf("not taken: %v", err)
	}
}
