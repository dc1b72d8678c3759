package memory_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coocood/freecache"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

func newCache(t testing.TB, cfg memory.Config) *memory.Cache {
	t.Helper()
	c, err := memory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantCopy(t *testing.T, c *memory.Cache, key, payload string) {
	t.Helper()
	e, ok := c.Lookup(key, nil)
	if !ok || string(e.Payload()) != payload {
		t.Fatalf("lookup %q: %v, %q, want %q", key, ok, e, payload)
	}
}

func wantNone(t *testing.T, c *memory.Cache, key string) {
	t.Helper()
	if e, ok := c.Lookup(key, nil); ok {
		t.Fatalf("lookup %q: a copy born %d, want none", key, e.Birth())
	}
}

// Row 23: a fill that ends after the fence of its key was applied.
func TestFillAfterFenceIsRefused(t *testing.T) {
	for name, fence := range map[string]func(*memory.Cache, string, events.Position){
		"hard": (*memory.Cache).Fence,
		"soft": (*memory.Cache).Soften,
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, memory.Config{Bytes: memory.MinBytes})
			late := tiertest.Entry(t, "k", 7, "dead")
			fence(c, "k", 9)
			if err := c.Put(late); !errors.Is(err, tiers.ErrOutdated) {
				t.Fatalf("late fill: %v, want ErrOutdated", err)
			}
			wantNone(t, c, "k")
			if err := c.Put(tiertest.Entry(t, "k", 9, "alive")); err != nil {
				t.Fatal(err)
			}
			wantCopy(t, c, "k", "alive")
			fence(c, "k", 10)
			wantNone(t, c, "k")
			if g := c.Guard("k"); g != 10 {
				t.Fatalf("guard %d, want 10", g)
			}
			fence(c, "k", 8) // never lowers
			if g := c.Guard("k"); g != 10 {
				t.Fatalf("guard %d after an older fence, want 10", g)
			}
		})
	}
}

// The same with both at once: whatever the interleaving, no copy from before
// the last fence is left.
func TestFillAndFenceExcludeEachOther(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes, GuardSlots: 1 << 10})
	const rounds = 20_000
	for round := range rounds {
		key := fmt.Sprint("k", round%64)
		birth := events.Position(2*round + 1)
		var wg sync.WaitGroup
		e := tiertest.Entry(t, key, birth, "v")
		wg.Go(func() { _ = c.Put(e) })
		c.Fence(key, birth+1)
		wg.Wait()
		if e, ok := c.Lookup(key, nil); ok {
			t.Fatalf("round %d: a copy born %d outlived the fence at %d", round, e.Birth(), birth+1)
		}
	}
}

func TestReplace(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes})
	if err := c.Replace(tiertest.Entry(t, "k", 5, "put at 5")); err != nil {
		t.Fatal(err)
	}
	wantCopy(t, c, "k", "put at 5")
	if err := c.Put(tiertest.Entry(t, "k", 4, "loaded before")); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("fill from before the put: %v", err)
	}
	c.Remove("k") // evicted, say
	if err := c.Put(tiertest.Entry(t, "k", 4, "loaded before")); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("fill from before the put, copy evicted: %v", err)
	}
	huge := tiertest.Entry(t, "k", 6, strings.Repeat("x", 4096))
	if err := c.Replace(huge); !errors.Is(err, tiers.ErrTooLarge) {
		t.Fatalf("put of a huge value: %v", err)
	}
	wantNone(t, c, "k")
	if err := c.Put(tiertest.Entry(t, "k", 5, "from before")); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("fill from before the huge put: %v", err)
	}
	if err := c.Replace(tiertest.Entry(t, "k", 2, "out of order")); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("replace out of order: %v", err)
	}
	wantNone(t, c, "k")
}

// Keys may share a slot; they then share its fence, upwards only.
func TestSlotsAreShared(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes, GuardSlots: 1})
	c.Fence("a", 9)
	if g := c.Guard("b"); g != 9 {
		t.Fatalf("guard of b %d, want a's 9", g)
	}
	if err := c.Put(tiertest.Entry(t, "b", 8, "v")); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("fill: %v", err)
	}
	if err := c.Put(tiertest.Entry(t, "b", 9, "v")); err != nil {
		t.Fatal(err)
	}
}

// Positions of different partitions don't compare: a fence in one must not
// refuse fills in another, whatever slot they fall into.
func TestPartitionsShareNoSlots(t *testing.T) {
	c := newCache(t, memory.Config{
		Bytes: memory.MinBytes, GuardSlots: 1 << 10, Partitions: 2,
		Partition: func(key string) int { return int(key[0] - '0') },
	})
	for i := range 5000 {
		c.Fence(fmt.Sprint("0:", i), 1_000_000)
	}
	for i := range 5000 {
		if g := c.Guard(fmt.Sprint("1:", i)); g != 0 {
			t.Fatalf("guard %d of a key in partition 1", g)
		}
	}
	c.Fence("1:k", 5)
	if err := c.Put(tiertest.Entry(t, "0:k", 1_000_000, "v")); err != nil {
		t.Fatal(err)
	}
	c.Reset(1)
	wantNone(t, c, "0:k") // copies go everywhere
	if g := c.Guard("1:k"); g != 0 {
		t.Fatalf("guard %d after reset", g)
	}
	if g := c.Guard("0:1"); g != 1_000_000 {
		t.Fatalf("guard %d of the other partition after reset, want its fence", g)
	}
}

func TestClearKeepsFences(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes})
	c.Fence("k", 9)
	if err := c.Tier(func() int64 { return 0 }).Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(tiertest.Entry(t, "k", 8, "dead")); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("fill from before the fence: %v", err)
	}
}

// What freecache does by itself, and why Put drops the older copy: if this
// fails, freecache has changed.
func TestFreecacheKeepsTheOldValueWhenItRefuses(t *testing.T) {
	f := freecache.NewCache(memory.MinBytes)
	k := []byte("k")
	if err := f.Set(k, []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Set(k, make([]byte, 4096), 0); err == nil {
		t.Fatal("a value of 4 KiB was taken")
	}
	if v, err := f.Get(k); err != nil || string(v) != "old" {
		t.Fatalf("%q, %v", v, err)
	}
}

// Fences outlive what freecache evicts.
func TestEvictionForgetsNoFence(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes})
	c.Fence("k", 9)
	for i := range 20_000 {
		if err := c.Put(tiertest.Entry(t, fmt.Sprint("other", i), 20, strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Evacuated == 0 {
		t.Fatalf("nothing was evicted: %+v", s)
	}
	if err := c.Put(tiertest.Entry(t, "k", 8, "dead")); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("fill from before the fence: %v", err)
	}
}

func TestStatsOnlyRise(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes})
	if err := c.Put(tiertest.Entry(t, "k", 1, "v")); err != nil {
		t.Fatal(err)
	}
	c.Lookup("k", nil)
	c.Lookup("none", nil)
	_ = c.Put(tiertest.Entry(t, "k", 0, "v"))
	_ = c.Put(tiertest.Entry(t, "k", 2, strings.Repeat("x", 4096)))
	want := memory.Stats{Hits: 1, Misses: 1, TooLarge: 1, Outdated: 1, Bytes: memory.MinBytes}
	if s := c.Stats(); s != want {
		t.Fatalf("stats %+v, want %+v", s, want)
	}
	c.Reset(0)
	c.Lookup("k", nil)
	want.Misses++
	if s := c.Stats(); s != want {
		t.Fatalf("stats after reset %+v, want %+v", s, want)
	}
	if err := c.Resize(8 << 20); err != nil {
		t.Fatal(err)
	}
	c.Lookup("k", nil)
	want.Misses++
	want.Bytes, want.Resized = 8<<20, 1
	if s := c.Stats(); s != want {
		t.Fatalf("stats after resizing %+v, want %+v", s, want)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []memory.Config{
		{Bytes: memory.MinBytes - 1}, {Bytes: -1}, {GuardSlots: 3}, {GuardSlots: -4}, {Partitions: 2}, {Partitions: -1},
	} {
		if _, err := memory.New(cfg); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", cfg, err)
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes})
	if err := c.Put(tiertest.Entry(t, "k", 1, strings.Repeat("x", 100))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(1000, func() { c.Lookup("k", buf) }); n != 0 {
		t.Errorf("lookup: %v allocations", n)
	}
	e := tiertest.Entry(t, "k", 1, "v")
	if n := testing.AllocsPerRun(1000, func() { _ = c.Put(e) }); n != 0 {
		t.Errorf("put: %v allocations", n)
	}
}

// A copy from the disk that is asked for once displaces none; the second time
// it gets in, unless memory would have turned over meanwhile.
func TestPromote(t *testing.T) {
	c, err := memory.New(memory.Config{Bytes: memory.MinBytes})
	if err != nil {
		t.Fatal(err)
	}
	e := func(key string) tiers.Entry { return tiertest.Entry(t, key, 5, "v") }
	held := func(key string) bool { _, ok := c.Lookup(key, nil); return ok }
	for i := range 2 {
		if err := c.Promote(e("often")); err != nil || held("often") != (i == 1) {
			t.Fatalf("promotion %d: %v, held %v", i+1, err, held("often"))
		}
	}
	in := 0
	for i := range 100_000 {
		k := fmt.Sprint("once", i)
		if err := c.Promote(e(k)); err != nil {
			t.Fatal(err)
		}
		if held(k) {
			in++
		}
	}
	if in > 20 { // two keys in 65,536 look alike
		t.Errorf("%d of 100,000 copies that were asked for once are here", in)
	}
	c.Fence("late", 9)
	_ = c.Promote(e("late"))
	if err := c.Promote(e("late")); !errors.Is(err, tiers.ErrOutdated) {
		t.Errorf("promotion of a copy from before its fence: %v, want ErrOutdated", err)
	}
}
