package memory_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/headroom"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

func TestResizeKeepsFences(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: twoSegments})
	put(t, c, "k", 5, 0, 100)
	c.Fence("fenced", 9)
	for _, bytes := range []int{memory.MinBytes, twoSegments, 1 << 20} {
		if err := c.Resize(bytes); err != nil || c.Bytes() != bytes {
			t.Fatalf("%d bytes instead of %d: %v", c.Bytes(), bytes, err)
		}
		if held(c, "k") {
			t.Errorf("%d bytes: a copy of an earlier size is back", bytes)
		}
		if err := c.Put(tiertest.Entry(t, "fenced", 8, "dead")); !errors.Is(err, tiers.ErrOutdated) {
			t.Errorf("%d bytes: a fill from before a fence: %v", bytes, err)
		}
		put(t, c, "k", 5, 0, 100)
		if !held(c, "k") {
			t.Errorf("%d bytes: a fill was not taken", bytes)
		}
	}
	if err := c.Resize(memory.MinBytes - 1); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("less than the least: %v", err)
	}
}

// G1: whoever looks after a fence was applied finds nothing older, whatever the
// cache's size does, and whichever way a copy takes from young to main.
func TestNothingOlderWhileSizesChange(t *testing.T) {
	c := full(t)
	var fences [64]atomic.Uint64
	born := func(i int) events.Position { return events.Position(fences[i].Load()) }
	key := func(i, round int) string { return fmt.Sprint("key", i, "round", round/8) }
	var wg sync.WaitGroup
	var done atomic.Bool
	for w := range 2 {
		wg.Go(func() { // fills and hits
			for n := w; !done.Load(); n++ {
				i := n % len(fences)
				k := key(i, int(born(i)))
				_ = c.Put(tiertest.Entry(t, k, born(i), "value of some length, so that others leave"))
				_ = c.Put(tiertest.Entry(t, fmt.Sprint("other", n), 1, "value of some length, so that others leave"))
				for range 3 {
					before := born(i)
					if e, ok := c.Lookup(key(i, int(before)), nil); ok && e.Birth() < before {
						t.Errorf("born %d, after a fence at %d", e.Birth(), before)
						return
					}
				}
			}
		})
	}
	wg.Go(func() {
		for n := 0; !done.Load(); n++ {
			if err := c.Resize([]int{twoSegments, 4 << 20, 1 << 20}[n%3]); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 5_000 { // the one who applies
		i := n % len(fences)
		p := born(i) + 1
		c.Fence(key(i, int(p)), p)
		c.Fence(key(i, int(p-1)), p)
		fences[i].Store(uint64(p))
	}
	done.Store(true)
	wg.Wait()
}

// A cache under pressure gives memory back, down to its least, and takes it
// again when there has been room for a minute: not before, and not to be
// chased away at once.
func TestYield(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		const mib = 1 << 20
		c := newCache(t, memory.Config{Bytes: 64 * mib})
		var others atomic.Uint64 // what the rest of the process uses
		var stalled atomic.Bool
		others.Store(20 * mib)
		look := func() headroom.Reading {
			r := headroom.Reading{Used: others.Load() + uint64(c.Bytes()), Limit: 100 * mib}
			if stalled.Load() {
				r.Stalled = 0.5
			}
			return r
		}
		var seen []int
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- c.Yield(ctx, memory.Yielding{Look: look, Resized: func(bytes int, _ headroom.Reading) { seen = append(seen, bytes/mib) }})
		}()
		after := func(d time.Duration, what string, want int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := c.Bytes() / mib; got != want {
				t.Errorf("%s: %d MiB, want %d; it went %v", what, got, want, seen)
			}
		}
		after(time.Hour, "room enough", 64)
		others.Store(30 * mib) // 94 with the cache
		after(6*time.Second, "tight", 32)
		after(time.Hour, "room, but not for twice as much", 32)
		others.Store(85 * mib)
		after(time.Hour, "tight whatever it gives", 8)
		others.Store(20 * mib)
		after(50*time.Second, "room for less than a minute", 8)
		after(time.Hour, "room again", 32) // 84 with 64
		others.Store(10 * mib)
		after(time.Hour, "room for all", 64)
		stalled.Store(true)
		after(6*time.Second, "the kernel stalls", 32)
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if len(seen) != 7 {
			t.Errorf("it went %v, in more steps than it takes", seen)
		}
	})
}

const limited = "TERCET_TEST_MEMORY_LIMIT"

// The same with a real limit, in a process of its own.
func TestYieldToMemoryLimit(t *testing.T) {
	if os.Getenv(limited) != "" {
		yieldToMemoryLimit(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestYieldToMemoryLimit$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), limited+"=1", "GOMEMLIMIT=160MiB")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func yieldToMemoryLimit(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: 64 << 20})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Yield(ctx, memory.Yielding{Every: 10 * time.Millisecond}) })
	defer wg.Wait()
	defer stop()
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("not %s: %d bytes, %+v", what, c.Bytes(), headroom.Look())
			}
		}
	}
	var hoard [][]byte
	await("smaller", func() bool {
		if len(hoard) < 30 {
			hoard = append(hoard, make([]byte, 4<<20))
		}
		runtime.GC()
		return c.Bytes() < 64<<20
	})
	put(t, c, "k", 1, 0, 100)
	if !held(c, "k") {
		t.Error("the smaller cache takes nothing")
	}
	hoard = nil
	runtime.GC()
	await("as large as before", func() bool { return c.Bytes() == 64<<20 })
}

// Nothing expires by the clock that tells the recent from the old: it may jump
// with the wall clock, and even come round.
func TestTicksExpireNothing(t *testing.T) {
	var tick atomic.Uint32
	c := newCache(t, memory.Config{Bytes: twoSegments, Ticks: tick.Load})
	put(t, c, "k", 1, 0, 100)
	for _, at := range []uint32{1, 1 << 20, 1 << 31, 1<<32 - 1} {
		tick.Store(at)
		if !held(c, "k") {
			t.Errorf("at tick %d the copy is gone", at)
		}
	}
}
