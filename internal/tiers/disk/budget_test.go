package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// sizeOf is what the files under dir take.
func sizeOf(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go
		}
		if i, err := d.Info(); err == nil {
			sum += i.Size()
		}
		return nil
	})
	return sum
}

// While there is room nothing is evicted, however often the hand comes by.
func TestNothingIsEvictedWhileThereIsRoom(t *testing.T) {
	s := open1(t, Config{Dir: t.TempDir(), Budget: leastBudget})
	b := s.Batch(0)
	const keys = 100
	for k := range keys {
		b.PutEntry(tiertest.Entry(t, fmt.Sprint("key:", k), events.Position(k+1), "v"))
	}
	mustCommit(t, b)
	settle(t, s)
	h := newHand(s)
	for range 20 {
		if err := h.step(h.idly()); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, s)
	if n := s.Stats().Evicted; n != 0 {
		t.Errorf("evicted %d of %d", n, keys)
	}
	for k := range keys {
		if found, err := s.Lookup(fmt.Sprint("key:", k), nil); err != nil || found.Entry == nil {
			t.Fatalf("key:%d is gone: %v", k, err)
		}
	}
}

// Four times as much as there is room for goes through, and never more than a
// tenth over the budget lies on disk. No fence is lost of it. The first half
// comes as fast as it can: what pebble is behind with is left out then, be it
// everything. The second waits for it, and finds room in time.
func TestBudget(t *testing.T) {
	const budget, puts, keys = 16 << 20, 70_000, 20_000
	dir := t.TempDir()
	s := open1(t, Config{Dir: dir, Budget: budget})
	random := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, 1000)
	last := make([]events.Position, keys)
	key := func(k int) string { return fmt.Sprint("key:", k) }
	b := s.Batch(0)
	for p := events.Position(1); p <= puts; p++ {
		k := random.IntN(keys)
		for i := 0; i < len(payload); i += 8 {
			payload[i] = byte(random.Uint32())
		}
		b.PutEntry(tiertest.Entry(t, key(k), p, string(payload)))
		if last[k] = p; p%50 != 0 {
			continue
		}
		mustCommit(t, b)
		if p%1000 != 0 {
			continue
		}
		if n := sizeOf(dir); n > budget*11/10 {
			t.Fatalf("after %d puts %d bytes on disk, the budget is %d", p, n, budget)
		}
		if p > puts/2 {
			settle(t, s)
			awaitRoom(t, s)
		}
	}
	settle(t, s)
	stats := s.Stats()
	if stats.Evicted+stats.Unkept < puts/10 {
		t.Errorf("evicted %d and left out %d of %d", stats.Evicted, stats.Unkept, puts)
	}
	held := 0
	for k, p := range last {
		found, err := s.Lookup(key(k), nil)
		if err != nil || found.Fence.Hard < p || found.Entry != nil && found.Entry.Birth() != p {
			t.Fatalf("%s: %v, birth %v, put at %d; %v", key(k), found.Fence, found.Entry != nil, p, err)
		}
		if found.Entry != nil {
			held++
		}
	}
	if held < budget/1024/12 { // so small a budget is mostly room for merges
		t.Errorf("%d values lie in %d bytes", held, budget)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open1(t, Config{Dir: dir, Budget: budget})
	for k, p := range last {
		if found, err := s.Lookup(key(k), nil); err != nil || found.Fence.Hard < p {
			t.Fatalf("after a restart %s: %v, put at %d; %v", key(k), found.Fence, p, err)
		}
	}
}

// awaitRoom returns once s takes values of keys that nobody asks for.
func awaitRoom(t *testing.T, s *Store) {
	t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); !s.hasRoom("nobody asks for this", 0); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("no room within a minute: %d of %d bytes are taken, of which %d are leaving", s.meter.used.Load(), s.meter.budget, s.meter.leaving.Load())
		}
	}
}

func TestBudgetIsRefused(t *testing.T) {
	for _, n := range []int64{-1, 1 << 20} {
		if _, err := Open(Config{Budget: n}); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("a budget of %d: %v", n, err)
		}
	}
}

// The hand takes what has expired, whatever room there is, and what is worth
// least.
func TestWhatTheHandTakes(t *testing.T) {
	var now atomic.Int64
	now.Store(1_000_000)
	s := open1(t, Config{Budget: 8 << 20, Now: now.Load})
	h := newHand(s)
	h.turn, h.now = time.Minute, now.Load()
	entry := func(key string, flags tiers.Flags, size int, age time.Duration) tiers.Entry {
		return tiertest.Make(t, tiers.Header{
			Key: key, Epoch: 1, Birth: 3, Flags: flags, Created: time.UnixMilli(now.Load()).Add(-age),
		}, make([]byte, size))
	}
	for range 4 {
		s.heat.add("hot")
	}
	plain := h.worth(entry("k", 0, 100, time.Minute))
	for _, x := range []struct {
		what string
		e    tiers.Entry
		more bool
	}{
		{"a key that is asked for", entry("hot", 0, 100, time.Minute), true},
		{"a younger one", entry("k", 0, 100, time.Second), true},
		{"an older one", entry("k", 0, 100, time.Hour), false},
		{"a larger one", entry("k", 0, 1000, time.Minute), false},
		{"high priority", entry("k", tiers.FlagHighPriority, 100, time.Minute), true},
		{"low priority", entry("k", tiers.FlagLowPriority, 100, time.Minute), false},
	} {
		if got := h.worth(x.e); got > plain != x.more {
			t.Errorf("%s: worth %g, a plain one %g", x.what, got, plain)
		}
	}
	s.heat.turn.Add(2)
	if n := s.heat.of("hot"); n != 1 {
		t.Errorf("4 lookups two turns ago count as %d", n)
	}
	ends := tiertest.Make(t, tiers.Header{
		Key: "k", Epoch: 1, Birth: 3, Created: time.UnixMilli(now.Load()), Expiry: time.UnixMilli(now.Load() + 10),
	}, []byte("v"))
	name, row := rowName(s, "k"), rowOf(t, s, "k", fence(3, 3), ends)
	if h.condemns(name, row, 0, 0) {
		t.Error("a value that has not expired is taken where there is room")
	}
	h.now += 10
	if !h.condemns(name, row, 0, 0) {
		t.Error("a value that has expired is not taken")
	}
	row = rowOf(t, s, "k", fence(3, 4), nil)
	if h.condemns(name, row, 3, 1) || !h.condemns(name, row, 4, 0) {
		t.Error("fences go up to the aim, and no further")
	}
}

// While there is room the hand takes what has expired by itself.
func TestExpiredValuesGo(t *testing.T) {
	var now atomic.Int64
	now.Store(1_000_000)
	s := open1(t, Config{Budget: 64 << 20, Now: now.Load})
	for i := range 100 {
		e := tiertest.Make(t, tiers.Header{Key: fmt.Sprint("k", i), Epoch: 1, Birth: 1, Expiry: time.UnixMilli(now.Load() + 1)}, []byte("v"))
		if err := s.Fill(0, e, nil); err != nil {
			t.Fatal(err)
		}
	}
	now.Add(1)
	h := newHand(s)
	if err := h.step(0); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Evicted; n != 100 {
		t.Fatalf("%d of 100 expired values went", n)
	}
}

// More keys than there is room for fences: the floor rises, and the oldest go.
func TestFencesFindRoom(t *testing.T) {
	const budget = 8 << 20
	const room = budget / fenceRow / 5
	s := open1(t, Config{Budget: budget})
	b := s.Batch(0)
	for p := range events.Position(3 * room) {
		if b.FenceKey(fmt.Sprint("key:", p), p+1); p%256 == 0 {
			mustCommit(t, b)
		}
	}
	mustCommit(t, b)
	settle(t, s)
	h := newHand(s)
	for s.floors.of(0) == 0 || h.at != nil {
		if err := h.step(0); err != nil {
			t.Fatal(err)
		}
	}
	if f := float64(s.floors.of(0)); f < 1.8*room || f > 2.2*room {
		t.Errorf("the floor is at %g, room is for the last %d of %d", f, room, 3*room)
	}
	left := 0
	err := s.walk("count", 0, kindKey, "", func(_, _ []byte) error { left++; return nil })
	if err != nil || left > room*5/4 {
		t.Errorf("%d rows are left, room is for %d; %v", left, room, err)
	}
}
