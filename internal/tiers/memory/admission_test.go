package memory_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

const (
	twoSegments = 8 << 20
	// enough is how many copies of half a KiB fill it twice over.
	enough = 2 * twoSegments >> 9
)

func flagged(t testing.TB, key string, birth events.Position, f tiers.Flags, payload string) tiers.Entry {
	t.Helper()
	h := tiers.Header{Key: key, Epoch: 1, Birth: birth, Flags: f}
	e, err := tiers.Append(nil, &h, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func put(t testing.TB, c *memory.Cache, key string, birth events.Position, f tiers.Flags, bytes int) {
	t.Helper()
	if err := c.Put(flagged(t, key, birth, f, strings.Repeat("x", bytes))); err != nil {
		t.Fatal(err)
	}
}

func held(c *memory.Cache, key string) bool { _, ok := c.Lookup(key, nil); return ok }

// full returns a cache whose main segment holds keys that were asked for twice.
func full(t testing.TB) *memory.Cache {
	c := newCache(t, memory.Config{Bytes: twoSegments})
	for i := range enough {
		put(t, c, fmt.Sprint("proved", i), 1, 0, 400)
	}
	return c
}

func survivors(c *memory.Cache, prefix string, n int) (k int) {
	for i := range n {
		if held(c, fmt.Sprint(prefix, i)) {
			k++
		}
	}
	return k
}

// A scan over keys that nobody asks for again displaces few of those that were.
func TestScanDisplacesFew(t *testing.T) {
	c := full(t)
	before := survivors(c, "proved", enough)
	for i := range enough {
		put(t, c, fmt.Sprint("scan", i), 1, 0, 400)
	}
	if after := survivors(c, "proved", enough); after < before*8/10 {
		t.Errorf("%d of %d copies are left after a scan", after, before)
	}
	s := c.Stats()
	if s.Young == 0 || s.Young > s.Entries/5 {
		t.Errorf("%d of %d copies are on trial", s.Young, s.Entries)
	}
}

// A key that comes back is let in, although its trial is over.
func TestSecondTimeIsRemembered(t *testing.T) {
	c := full(t)
	again := func() {
		for i := range 500 {
			put(t, c, fmt.Sprint("again", i), 1, 0, 400)
		}
	}
	scan := func(name string) {
		for i := range 6000 {
			put(t, c, fmt.Sprint(name, i), 1, 0, 400)
		}
	}
	again()
	scan("a")
	if n := survivors(c, "again", 500); n > 150 { // in the segments that let all in
		t.Fatalf("%d of 500 outlived a scan that is longer than the trial", n)
	}
	again()
	scan("b")
	if n := survivors(c, "again", 500); n < 450 {
		t.Errorf("%d of 500 keys are here that came back", n)
	}
}

// G1, row 28: whatever kills a copy kills it in the segment for new keys too.
func TestFenceReachesCopiesOnTrial(t *testing.T) {
	c := full(t)
	born := events.Position(1)
	young := func(name string) (keys []string) {
		born += 10 // a slot that two keys share has the other's fence
		for i := range 200 {
			k := fmt.Sprint(name, i)
			put(t, c, k, born, 0, 100)
			keys = append(keys, k)
		}
		if c.Stats().Young == 0 {
			t.Fatal("none is on trial")
		}
		return keys
	}
	put := func(how func(tiers.Entry) error, k string, bytes int) {
		_ = how(tiertest.Entry(t, k, born+1, strings.Repeat("x", bytes))) // refused or not
	}
	for name, kill := range map[string]func(string){
		"fence":                 func(k string) { c.Fence(k, born+1) },
		"soften":                func(k string) { c.Soften(k, born+1) },
		"remove":                c.Remove,
		"too large":             func(k string) { put(c.Replace, k, twoSegments/1024) },
		"too large for a trial": func(k string) { put(c.Put, k, 2000) },
	} {
		for _, k := range young(name) {
			kill(k)
			if e, ok := c.Lookup(k, nil); ok && e.Birth() <= born {
				t.Fatalf("%s: the copy of %q born %d is still here", name, k, e.Birth())
			}
		}
	}
	young("reset")
	c.Reset(0)
	if s := c.Stats(); s.Entries != 0 {
		t.Fatalf("%d copies after a reset", s.Entries)
	}
}

func TestPriorities(t *testing.T) {
	c := full(t)
	for i := range 100 {
		put(t, c, fmt.Sprint("low", i), 1, tiers.FlagLowPriority, 100)
		put(t, c, fmt.Sprint("low", i), 1, tiers.FlagLowPriority, 100)
		put(t, c, fmt.Sprint("high", i), 1, 0, 100) // on trial, and then of high priority
		put(t, c, fmt.Sprint("high", i), 1, tiers.FlagHighPriority, 100)
	}
	if n := survivors(c, "low", 100); n != 0 {
		t.Errorf("%d of low priority were let into a full cache", n)
	}
	for i := range 2000 {
		put(t, c, fmt.Sprint("new", i), 1, 0, 400)
	}
	if n := survivors(c, "high", 100); n != 100 {
		t.Errorf("%d of 100 of high priority are here", n)
	}
	empty := newCache(t, memory.Config{Bytes: twoSegments})
	put(t, empty, "low", 1, tiers.FlagLowPriority, 100)
	if !held(empty, "low") {
		t.Error("low priority was refused although there is room")
	}
}

// A huge value that is asked for once takes no room from small ones.
func TestHugeValueWaitsOutside(t *testing.T) {
	c := full(t)
	away := c.Stats().TurnedAway
	for i := range 64 {
		put(t, c, fmt.Sprint("huge", i), 1, 0, 4000)
	}
	if n := c.Stats().TurnedAway - away; n < 50 { // but where all are let in
		t.Errorf("%d of 64 huge values were turned away", n)
	}
	for i := range 64 {
		put(t, c, fmt.Sprint("huge", i), 1, 0, 4000)
	}
	if n := survivors(c, "huge", 64); n < 60 {
		t.Errorf("%d of 64 huge values are here, asked for twice", n)
	}
}

// Traffic for which trials are a waste changes the rule, and other traffic
// changes it back.
func TestAdmissionAdapts(t *testing.T) {
	c := full(t)
	ask := func(key string) {
		if !held(c, key) {
			put(t, c, key, 1, 0, 400)
		}
	}
	// Each key comes back soon, three times, at distances for which a trial is
	// too short, and then never.
	for i := range 60_000 {
		for _, back := range []int{0, 1500, 3000} {
			if i >= back {
				ask(fmt.Sprint("passing", i-back))
			}
		}
	}
	if c.Stats().Generous != 1 {
		t.Error("trials go on although they only cost")
	}
	for i := range 120_000 {
		ask(fmt.Sprint("scan", i))
		ask(fmt.Sprint("steady", i*7919%6000))
	}
	if c.Stats().Generous != 0 {
		t.Error("all are let in although scans displace what is asked for")
	}
}
