package node_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// ttl returns how long the copy lives that a read finds now, and where it was.
func (m *member) ttl(key string) (time.Duration, node.Source) {
	m.t.Helper()
	r, err := m.Get(context.Background(), key, nil, node.ReadOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	return m.Left(time.UnixMilli(r.Entry.ExpiryMilli())), r.Source
}

// Lives that begin together end apart, and none later than it would without
// jitter.
func TestJitter(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", with(node.Policy{TTL: time.Hour, Jitter: 0.2}))
		seen := map[time.Duration]bool{}
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			must(a.Get(context.Background(), key, nil, node.ReadOptions{Load: loads("v")}))(t)
			life, _ := a.ttl(key)
			if life > time.Hour || life < 48*time.Minute {
				t.Fatalf("lives for %v of an hour", life)
			}
			seen[life] = true
		}
		if len(seen) < 4 {
			t.Fatalf("all end together: %v", seen)
		}
	})
}

// That there is no such value is known for its own time, and is no fallback.
func TestNegativeCaching(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", with(node.Policy{
			TTL: time.Hour, NegativeTTL: 10 * time.Second, MaxStale: time.Hour, Fallback: node.IfOriginFails, EagerAfter: 0.1,
		}))
		calls := 0
		o := node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
			calls++
			if calls > 2 {
				return node.Loaded{}, errOrigin
			}
			return node.Loaded{Flags: tiers.FlagNegative, Tags: []string{"t"}}, nil
		}}
		for range 3 {
			if _, err := a.get("k", o); !errors.Is(err, node.ErrNotFound) || calls != 1 {
				t.Fatalf("%v after %d loads", err, calls)
			}
			f.pass(3 * time.Second)
		}
		f.pass(time.Second)
		if _, err := a.get("k", o); !errors.Is(err, node.ErrNotFound) || calls != 2 {
			t.Fatalf("%v after %d loads, want a second one", err, calls)
		}
		f.pass(10 * time.Second)
		a.wantsOf("k", o, "", false)
	})
}

// P29: reads prolong a sliding life, up to the whole one; its birth stays.
func TestSlidingExpiry(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", with(node.Policy{TTL: 10 * time.Minute, Sliding: time.Minute, MaxStale: time.Hour, EagerAfter: 0.1}))
		birth := func() events.Position {
			r := must(a.Get(context.Background(), "k", nil, node.ReadOptions{}))(t)
			return r.Entry.Birth()
		}
		calls := 0
		o := node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
			calls++
			return node.Loaded{Payload: []byte("v"), Tags: []string{"t"}}, nil
		}}
		a.wantsOf("k", o, "v", false)
		born := birth()
		for range 11 {
			f.pass(50 * time.Second) // 550 s in all
			a.wantsOf("k", o, "v", false)
			synctest.Wait()
		}
		if calls != 1 || birth() != born {
			t.Fatalf("%d loads, born at %d, at first at %d", calls, birth(), born)
		}
		if life, _ := a.ttl("k"); life > 50*time.Second {
			t.Fatalf("lives for %v, and then for longer than its TTL", life)
		}
		if e := f.shared.backup()["k"]; a.Left(time.UnixMilli(e.ExpiryMilli())) < 45*time.Second {
			t.Fatalf("the shared tier's copy was not prolonged: %v", a.Left(time.UnixMilli(e.ExpiryMilli())))
		}
		f.pass(50 * time.Second)
		a.wantsOf("k", o, "v", false)
		if calls != 2 {
			t.Fatalf("%d loads; it lives for longer than its TTL", calls)
		}
		f.pass(time.Minute) // nobody reads it
		a.wantsOf("k", o, "v", false)
		if calls != 3 {
			t.Fatalf("%d loads; it lives without being read", calls)
		}
		// A life that was prolonged ends by a fence like any other.
		f.pass(50 * time.Second)
		a.wantsOf("k", o, "v", false)
		synctest.Wait()
		a.invalidate(events.Scope{Tags: []string{"t"}})
		a.wants("k", "")
		// A life that its loader names is not bent.
		a.wantsOf("m", node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
			return node.Loaded{Payload: []byte("v"), TTL: 5 * time.Minute}, nil
		}}, "v", false)
		if life, _ := a.ttl("m"); life != 5*time.Minute {
			t.Fatalf("lives for %v", life)
		}
	})
}

// A slide that a fence overtakes revives nothing.
func TestSlideKeepsTheBirth(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a, b := f.start("a", with(node.Policy{TTL: time.Hour, Sliding: time.Minute})), f.start("b", options{})
		a.wantsOf("k", node.ReadOptions{Load: loads("v", "t")}, "v", false)
		before := f.shared.backup()
		b.invalidate(events.Scope{Tags: []string{"other"}}) // moves the log on
		f.caughtUp(a)
		f.pass(30 * time.Second)
		a.wants("k", "v")
		synctest.Wait()
		after := f.shared.backup()
		if after["k"].Birth() != before["k"].Birth() || after["k"].ExpiryMilli() == before["k"].ExpiryMilli() {
			t.Fatalf("born at %d and then at %d, expires at %d and then at %d",
				before["k"].Birth(), after["k"].Birth(), before["k"].ExpiryMilli(), after["k"].ExpiryMilli())
		}
	})
}

// The loader decides how long a value lives, what it dies with, what it is
// worth, and whether it is kept.
func TestLoaderDecides(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", with(node.Policy{TTL: time.Hour}))
		r := must(a.Get(context.Background(), "k", nil, node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
			return node.Loaded{Payload: []byte("v"), TTL: time.Second, Tags: []string{"t"}, Flags: tiers.FlagHighPriority}, nil
		}}))(t)
		if h := r.Entry.Header(); !slices.Equal(h.Tags, []string{"t"}) || h.Flags != tiers.FlagHighPriority {
			t.Fatalf("%+v", h)
		}
		if life, _ := a.ttl("k"); life != time.Second {
			t.Fatalf("lives for %v", life)
		}
		a.wantsOf("m", node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
			return node.Loaded{Payload: []byte("v"), NoStore: true}, nil
		}}, "v", false)
		a.wants("m", "")
	})
}

// Each tier may keep a copy for its own time, counted from when it came there.
func TestLivesByTier(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		p := node.Policy{TTL: time.Hour, MemoryTTL: 10 * time.Second, DiskTTL: time.Minute, SharedTTL: 10 * time.Minute}
		a := f.start("a", with(p))
		from := newOrigin("v")
		a.wantsOf("k", node.ReadOptions{Load: from.load}, "v", false)
		for _, step := range []struct {
			after, life time.Duration
			source      node.Source
		}{
			{5 * time.Second, 5 * time.Second, node.FromMemory},
			{5 * time.Second, 50 * time.Second, node.FromDisk},
			{50 * time.Second, 9 * time.Minute, node.FromShared},
		} {
			f.pass(step.after)
			if life, source := a.ttl("k"); life != step.life || source != step.source {
				t.Fatalf("after %v more: from %s for %v, want %s for %v", step.after, source, life, step.source, step.life)
			}
		}
		f.pass(time.Second)
		if _, source := a.ttl("k"); source != node.FromMemory {
			t.Fatalf("from %s; what was found further out should lie in memory", source)
		}
		f.pass(10 * time.Minute)
		a.wantsOf("k", node.ReadOptions{Load: from.load}, "v", false)
		from.wantCalls(t, 2)
	})
}

// A read passes over the tiers that it names, and what it loads does; fences
// are heeded all the same.
func TestSkip(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		from := newOrigin("v1")
		a.wantsOf("k", node.ReadOptions{Load: from.load}, "v1", false)
		source := func(s node.Skip) node.Source {
			t.Helper()
			r, err := a.Get(context.Background(), "k", nil, node.ReadOptions{Skip: s | node.SkipMemoryWrite})
			if errors.Is(err, node.ErrNotFound) {
				return 0
			}
			if err != nil {
				t.Fatal(err)
			}
			many := a.GetMany(context.Background(), []string{"k"}, node.BatchOptions{Skip: s | node.SkipMemoryWrite})
			if many[0].Err != nil || many[0].Source != r.Source {
				t.Fatalf("a batch: from %s, %v", many[0].Source, many[0].Err)
			}
			return r.Source
		}
		for skip, want := range map[node.Skip]node.Source{
			0: node.FromMemory, node.SkipMemoryRead: node.FromDisk, node.SkipMemoryRead | node.SkipDiskRead: node.FromShared, node.SkipReads: 0,
		} {
			if got := source(skip); got != want {
				t.Fatalf("skipping %b: from %s, want %s", skip, got, want)
			}
		}
		from.now("v2")
		a.wantsOf("k", node.ReadOptions{Load: from.load, Skip: node.SkipReads}, "v2", false)
		a.wants("k", "v2")

		a.invalidate(ofK)
		from.now("v3")
		a.wantsOf("k", node.ReadOptions{Load: from.load, Skip: node.SkipReads | node.SkipMemoryWrite | node.SkipSharedWrite}, "v3", false)
		if got := source(node.SkipMemoryRead); got != node.FromDisk {
			t.Fatalf("from %s, want the disk", got)
		}
		if e := f.shared.backup()["k"]; string(e.Payload()) == "v3" {
			t.Fatal("it lies in the shared tier")
		}
		if got := source(node.SkipDiskRead); got != 0 {
			t.Fatalf("from %s, want none but the disk", got)
		}
		a.wantsOf("k", node.ReadOptions{Load: from.load, Skip: node.SkipReads}, "v3", false)
		before := f.shared.backup()
		a.invalidate(ofK)
		f.shared.restore(before)
		if got := source(node.SkipDiskRead); got != 0 {
			t.Fatalf("from %s: a fence was passed over with its tier", got)
		}
	})
}

// conditional answers with a value and its name, or that it is unchanged.
type conditional struct {
	t         *testing.T
	value, is string
	told      []string // what the loads were told
	during    func()
}

func (c *conditional) load(ctx context.Context, key string) (node.Loaded, error) {
	old, ok := node.Previous(ctx)
	told := ""
	if ok {
		told = old.Validator() + "=" + string(old.Payload())
	}
	c.told = append(c.told, told)
	if c.during != nil {
		c.during()
	}
	if ok && old.Validator() == c.is {
		return node.Loaded{NotModified: true, Tags: []string{"more"}}, nil
	}
	return node.Loaded{Payload: []byte(c.value), Validator: c.is, Tags: []string{"t"}, Version: events.Version{N: 7, Known: true}}, nil
}

// A loader that finds its value unchanged says so, and the copy lives anew: with
// the birth of the load that asked, and all that it was.
func TestConditionalRefresh(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", with(node.Policy{TTL: time.Minute, MaxStale: time.Hour}))
		from := &conditional{t: t, value: "one", is: "e1"}
		o := node.ReadOptions{Load: from.load}
		a.wantsOf("k", o, "one", false)
		first := must(a.Get(context.Background(), "k", nil, node.ReadOptions{}))(t).Entry.Header()
		f.pass(time.Minute)
		a.invalidate(events.Scope{Tags: []string{"other"}})
		a.wantsOf("k", o, "one", false)
		second := must(a.Get(context.Background(), "k", nil, node.ReadOptions{}))(t)
		h := second.Entry.Header()
		if h.Birth <= first.Birth || h.Validator != "e1" || h.Version != first.Version || !slices.Equal(h.Tags, []string{"more", "t"}) {
			t.Fatalf("%+v after %+v", h, first)
		}
		if life, _ := a.ttl("k"); life != time.Minute {
			t.Fatalf("lives for %v", life)
		}
		a.soften(events.Scope{Tags: []string{"t"}})
		from.value, from.is = "two", "e2"
		a.wantsOf("k", o, "two", false)
		a.invalidate(ofK)
		a.wantsOf("k", o, "two", false)
		if want := []string{"", "e1=one", "e1=one", ""}; !slices.Equal(from.told, want) {
			t.Fatalf("loads were told %q, want %q", from.told, want)
		}
		_, _, err := a.answers("x", node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
			return node.Loaded{NotModified: true}, nil
		}})
		if !errors.Is(err, node.ErrNotModified) {
			t.Fatalf("unchanged, and nothing was there: %v", err)
		}
	})
}

// P27, P29: "not modified" does not outlive a fence that comes while the origin
// is asked, and raises no birth beyond when it was.
func TestNotModifiedIsAsOldAsItsQuestion(t *testing.T) {
	for name, scope := range map[string]events.Scope{"key": ofK, "tag": {Tags: []string{"t"}}, "unrelated": {Tags: []string{"u"}}} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.shared = newSharedTier()
				a := f.start("a", with(node.Policy{TTL: time.Minute, MaxStale: time.Hour}))
				from := &conditional{t: t, value: "one", is: "e1"}
				a.wantsOf("k", node.ReadOptions{Load: from.load}, "one", false)
				f.pass(time.Minute)
				var asked events.Position
				from.during = func() {
					asked = a.Stats().Partitions[f.home()].Applied
					a.invalidate(scope)
				}
				a.wantsOf("k", node.ReadOptions{Load: from.load}, "one", false)
				synctest.Wait()
				r, err := a.Get(context.Background(), "k", nil, node.ReadOptions{})
				if name != "unrelated" {
					if !errors.Is(err, node.ErrNotFound) {
						t.Fatalf("kept behind a fence: born at %d, %v", r.Entry.Birth(), err)
					}
					return
				}
				if err != nil || r.Entry.Birth() > asked {
					t.Fatalf("born at %d, asked at %d, %v", r.Entry.Birth(), asked, err)
				}
			})
		})
	}
}

// A hard fence between the lookup and the load takes the old value from the
// loader.
func TestLoaderIsToldOfNothingDead(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{config: func(c *node.Config) {
			c.MaxLoads = 1
			c.Policy = node.Policy{TTL: time.Minute, MaxStale: time.Hour}
		}})
		from := &conditional{t: t, value: "one", is: "e1"}
		a.wantsOf("k", node.ReadOptions{Load: from.load}, "one", false)
		f.pass(time.Minute)
		held := newGate("v")
		busy := a.reads("m", held.load) // the only load that may run
		waiting := a.reads("k", from.load)
		a.invalidate(ofK)
		close(held.open)
		busy.yields(a, "v")
		waiting.yields(a, "one")
		if from.told[1] != "" {
			t.Fatalf("the loader was told %q", from.told[1])
		}
		synctest.Wait()
		a.wants("k", "")
	})
}

// wrong starts a node whose wall clock stood d ahead when it started.
func (f *fleet) wrong(name string, d time.Duration, o options) *member {
	o.deps = func(deps *node.Deps) { deps.Clock.(*clocktest.Clock).Ahead(d) }
	return f.start(name, o)
}

// P34: between processes a life is as exact as their wall clocks were when they
// started. A copy that is further from the future than tiers.MaxSkew is none.
func TestLivesUnderWrongClocks(t *testing.T) {
	const off = 10 * time.Minute
	for name, tc := range map[string]struct {
		ahead, lives time.Duration // 0: not at all
	}{
		"ahead": {off, time.Hour - off}, "behind": {-off, 0}, "a little behind": {-time.Minute, time.Hour + time.Minute},
		"far ahead": {2 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.shared = newSharedTier()
				a, b := f.start("a", options{}), f.wrong("b", tc.ahead, options{})
				a.wantsOf("k", node.ReadOptions{Load: loads("v")}, "v", false)
				a.put("put", "v")
				f.caughtUp(b)
				for _, key := range []string{"k", "put"} {
					if tc.lives == 0 {
						b.wants(key, "")
					} else if life, _ := b.ttl(key); life.Round(time.Second) != tc.lives {
						t.Fatalf("%s lives for %v, want %v", key, life, tc.lives)
					}
				}
				b.wantsOf("own", node.ReadOptions{Load: loads("v")}, "v", false)
				if life, _ := b.ttl("own"); life != time.Hour {
					t.Fatalf("its own lives for %v", life)
				}
			})
		})
	}
}

// The same for one node that is started again after its wall clock was set.
func TestLivesAcrossARestart(t *testing.T) {
	for name, tc := range map[string]struct {
		ahead, lives time.Duration
	}{
		"set back": {-30 * time.Minute, 0}, "set forward": {30 * time.Minute, 30 * time.Minute}, "right": {0, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				a := f.start("a", options{})
				a.put("k", "v")
				fs := a.fs
				a.sync()
				a.stop()
				again := f.wrong("a", tc.ahead, options{fs: fs})
				if tc.lives == 0 {
					again.wants("k", "")
				} else if life, source := again.ttl("k"); life.Round(time.Minute) != tc.lives || source != node.FromDisk {
					t.Fatalf("from %s for %v, want %v", source, life, tc.lives)
				}
			})
		})
	}
}
