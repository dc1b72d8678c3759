package node_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// origin answers with a value after a delay, or fails.
type origin struct {
	value atomic.Value // string; "" fails
	takes atomic.Int64
	calls atomic.Int64
	tags  []string
}

func newOrigin(value string, tags ...string) *origin {
	o := &origin{tags: tags}
	o.value.Store(value)
	return o
}

func (o *origin) load(ctx context.Context, _ string) (node.Loaded, error) {
	o.calls.Add(1)
	value := o.value.Load().(string)
	select {
	case <-time.After(time.Duration(o.takes.Load())):
	case <-ctx.Done():
		return node.Loaded{}, ctx.Err()
	}
	if value == "" {
		return node.Loaded{}, errOrigin
	}
	return node.Loaded{Payload: []byte(value), Tags: o.tags}, nil
}

func (o *origin) now(value string) { o.value.Store(value) }

func (o *origin) wantCalls(t *testing.T, n int64) {
	t.Helper()
	if got := o.calls.Load(); got != n {
		t.Fatalf("%d loads, want %d", got, n)
	}
}

// wantsOf fails the test unless the read yields value, stale or not. "" means
// that it fails because the origin does.
func (m *member) wantsOf(key string, o node.ReadOptions, value string, stale bool) {
	m.t.Helper()
	v, s, err := m.answers(key, o)
	switch {
	case value == "" && !errors.Is(err, errOrigin):
		m.t.Fatalf("%s: %q, %v; want the origin's error", key, v, err)
	case value != "" && (err != nil || v != value || s != stale):
		m.t.Fatalf("%s: %q, stale %v, %v; want %q, stale %v", key, v, s, err, value, stale)
	}
}

func with(p node.Policy) options {
	return options{config: func(c *node.Config) { c.Policy = p }}
}

var failSafe = node.Policy{TTL: time.Minute, MaxStale: time.Hour, Fallback: node.IfOriginFails}

// levels that a read may ask for.
func (m *member) levels() map[string]consistency.Level {
	return map[string]consistency.Level{
		"eventual": consistency.Eventual(), "bounded": consistency.Bounded(lease),
		"session": consistency.Session(m.Token()), "strong": consistency.Strong(),
	}
}

// A copy serves past its expiry when the origin fails, marked, at every level
// and from every tier, until its time as a fallback is over.
func TestFailSafe(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a, b := f.start("a", with(failSafe)), f.start("b", with(failSafe))
		from := newOrigin("old")
		o := node.ReadOptions{Load: from.load}
		a.wantsOf("k", o, "old", false)
		f.pass(time.Minute)
		from.now("")
		for _, m := range []*member{a, b} { // b finds it in the shared tier only
			for name, l := range m.levels() {
				o.Level = l
				if v, stale, err := m.answers("k", o); err != nil || v != "old" || !stale {
					t.Fatalf("%s: %q, stale %v, %v", name, v, stale, err)
				}
			}
		}
		o.Level = consistency.Level{}
		if _, _, err := a.answers("k", node.ReadOptions{Load: from.load, Fallback: node.NeverFallBack}); !errors.Is(err, errOrigin) {
			t.Fatalf("a read that wants no fallback: %v", err)
		}
		a.wantsOf("k", node.ReadOptions{}, "old", true) // nobody to ask
		ans := a.GetMany(context.Background(), []string{"k"}, node.BatchOptions{
			Load: func(context.Context, []string) (map[string]node.Loaded, error) { return nil, errOrigin }})
		if ans[0].Err != nil || !ans[0].Stale {
			t.Fatalf("a batch: stale %v, %v", ans[0].Stale, ans[0].Err)
		}
		o.Policy = &node.Policy{MaxStale: time.Second}
		f.pass(2 * time.Second)
		a.wantsOf("k", o, "", false) // this reader wants none that old
		o.Policy = nil
		f.pass(time.Hour - 3*time.Second)
		a.wantsOf("k", o, "old", true)
		f.pass(time.Second)
		a.wantsOf("k", o, "", false)
		from.now("new")
		a.wantsOf("k", o, "new", false)
	})
}

// P29: what a hard fence, a bracket or another epoch has killed is no fallback,
// nor is anything on a node whose lease has ended.
func TestFailSafeNeverCrossesAHardFence(t *testing.T) {
	for name, scope := range map[string]events.Scope{
		"key": ofK, "tag": {Tags: []string{"t"}}, "prefix": {Prefixes: []string{"p:"}}, "glob": {Globs: []string{"*k"}}, "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.shared = newSharedTier()
				a := f.start("a", with(failSafe))
				key := "k"
				if name == "prefix" {
					key = "p:k"
				}
				from := newOrigin("old", "t")
				expired := func(o node.ReadOptions) node.ReadOptions {
					t.Helper()
					from.now("old")
					a.wantsOf(key, node.ReadOptions{Load: from.load}, "old", false)
					f.pass(2 * time.Minute)
					from.now("")
					a.wantsOf(key, node.ReadOptions{Load: from.load}, "old", true)
					if o.Load == nil {
						o.Load = from.load
					}
					return o
				}
				o := expired(node.ReadOptions{})
				a.invalidate(scope)
				a.wantsOf(key, o, "", false)
				o = expired(node.ReadOptions{Fallback: node.WhileReloading})
				a.invalidate(scope)
				a.wantsOf(key, o, "", false)
				a.wantsOf(key, expired(node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
					a.invalidate(scope) // while the load runs
					return node.Loaded{}, errOrigin
				}}), "", false)
				if name != "key" {
					return
				}
				o = expired(node.ReadOptions{})
				a.inBracket(func() { a.wantsOf(key, o, "", false) })
				a.wantsOf(key, expired(node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
					a.log.Cut()
					f.pass(2 * lease)
					return node.Loaded{}, errOrigin
				}}), "", false)
			})
		})
	}
}

// P50: an origin that has failed is left alone for a while, where a fallback can
// answer; where none can it is asked.
func TestThrottle(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		p := failSafe
		p.Throttle = 10 * time.Second
		a := f.start("a", with(p))
		from := newOrigin("old")
		o := node.ReadOptions{Load: from.load}
		a.wantsOf("k", o, "old", false)
		f.pass(time.Minute)
		from.now("")
		for range 5 {
			a.wantsOf("k", o, "old", true)
		}
		o.Fallback = node.WhileReloading
		a.wantsOf("k", o, "old", true)
		o.Fallback = node.NoFallback
		synctest.Wait()
		from.wantCalls(t, 2)
		f.pass(10 * time.Second)
		a.wantsOf("k", o, "old", true)
		from.wantCalls(t, 3)
		from.now("new")
		a.wantsOf("k", o, "old", true)
		a.invalidate(ofK) // no fallback any more
		a.wantsOf("k", o, "new", false)
		from.wantCalls(t, 4)
	})
}

// A reader with a fallback waits until the load has run for the soft timeout,
// whoever began it; the load goes on and is kept.
func TestSoftTimeout(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		p := failSafe
		p.SoftTimeout = 100 * time.Millisecond
		a := f.start("a", with(p))
		from := newOrigin("old")
		o := node.ReadOptions{Load: from.load}
		a.wantsOf("k", o, "old", false)
		f.pass(time.Minute)
		from.now("new")
		from.takes.Store(int64(time.Second))
		began := time.Now()
		a.wantsOf("k", o, "old", true)
		a.wantsOf("k", o, "old", true) // of the load that runs already
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Fatalf("two readers waited %v", took)
		}
		f.pass(time.Second)
		a.wants("k", "new")
		from.wantCalls(t, 2)

		// In time: no fallback is needed.
		f.pass(time.Minute)
		from.now("newer")
		from.takes.Store(int64(50 * time.Millisecond))
		a.wantsOf("k", o, "newer", false)

		// A fence kills the fallback while its reader waits: it gets what is loaded.
		f.pass(time.Minute)
		from.now("newest")
		from.takes.Store(int64(time.Second))
		r := a.reads("k", from.load)
		a.invalidate(ofK)
		r.yields(a, "newest")
	})
}

// P26: a load that goes on in the background is joined by nobody who demands a
// later one.
func TestLaterRequirementJoinsNoBackgroundLoad(t *testing.T) {
	for name, fence := range map[string]bool{"fence": true, "session": false} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				p := failSafe
				p.SoftTimeout = 100 * time.Millisecond
				a, b := f.start("a", with(p)), f.start("b", with(p))
				from := newOrigin("old")
				o := node.ReadOptions{Load: from.load}
				a.wantsOf("k", o, "old", false)
				f.pass(time.Minute)
				from.takes.Store(int64(10 * time.Second))
				a.wantsOf("k", o, "old", true) // and in the background it loads "old" again
				from.now("new")
				from.takes.Store(0)
				if fence {
					b.invalidate(ofK)
					f.caughtUp(a)
				} else {
					o.Level = consistency.Session(b.invalidate(events.Scope{Keys: []string{f.near("other")}}))
				}
				began := time.Now()
				a.wantsOf("k", o, "new", false)
				if took := time.Since(began); took > time.Second {
					t.Fatalf("waited %v, for a load that could not do", took)
				}
				f.pass(20 * time.Second)
				a.wantsOf("k", o, "new", false)
				from.wantCalls(t, 3)
			})
		})
	}
}

// No reader waits longer than the hard timeout; the load goes on and is kept.
func TestHardTimeout(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", with(node.Policy{HardTimeout: time.Second}))
		from := newOrigin("v")
		from.takes.Store(int64(3 * time.Second))
		slow := func(what string, read func() error) {
			t.Helper()
			began := time.Now()
			err := read()
			if took := time.Since(began); !errors.Is(err, node.ErrOriginSlow) || !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
				t.Fatalf("%s: %v after %v", what, err, took)
			}
		}
		slow("alone", func() error { _, err := a.get("k", node.ReadOptions{Load: from.load}); return err })
		slow("joined", func() error { _, err := a.get("k", node.ReadOptions{Load: from.load}); return err })
		f.pass(2 * time.Second)
		a.wants("k", "v")
		slow("batch", func() error {
			many := a.GetMany(context.Background(), []string{"m", "k"}, node.BatchOptions{
				Load: func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
					l, err := from.load(ctx, keys[0])
					return map[string]node.Loaded{keys[0]: l}, err
				}})
			return many[0].Err
		})
		a.inBracket(func() {
			slow("past the cache", func() error { _, err := a.get("k", node.ReadOptions{Load: from.load}); return err })
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := a.Get(ctx, "x", nil, node.ReadOptions{Load: from.load}); errors.Is(err, node.ErrOriginSlow) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a reader whose own time is over: %v", err)
		}
		f.pass(10 * time.Second)
	})
}

// After a share of the life the first reader begins a load, and nobody waits.
func TestEagerRefresh(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", with(node.Policy{TTL: time.Minute, EagerAfter: 0.5}))
		from := newOrigin("v1")
		o := node.ReadOptions{Load: from.load}
		a.wantsOf("k", o, "v1", false)
		f.pass(29 * time.Second)
		a.wantsOf("k", o, "v1", false)
		synctest.Wait()
		from.wantCalls(t, 1)
		f.pass(time.Second)
		from.now("v2")
		from.takes.Store(int64(2 * time.Second))
		began := time.Now()
		for name, l := range a.levels() {
			o.Level = l
			if v, stale, err := a.answers("k", o); err != nil || v != "v1" || stale {
				t.Fatalf("%s: %q, stale %v, %v", name, v, stale, err)
			}
		}
		if took := time.Since(began); took > time.Second { // a strong read waits for a pulse
			t.Fatalf("readers waited %v", took)
		}
		o.Level = consistency.Level{}
		f.pass(3 * time.Second)
		a.wantsOf("k", o, "v2", false)
		from.wantCalls(t, 2)

		// A failing origin is not asked by every read, and the copy lives on.
		f.pass(30 * time.Second)
		from.now("")
		from.takes.Store(0)
		for range 5 {
			a.wantsOf("k", o, "v2", false)
			synctest.Wait()
		}
		from.wantCalls(t, 3)
		f.pass(time.Second)
		a.wantsOf("k", o, "v2", false)
		synctest.Wait()
		from.wantCalls(t, 4)
	})
}

// In a fleet one node refreshes, and the others take what it has loaded.
func TestFleetRefreshesOnce(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(3, with(node.Policy{TTL: time.Minute, EagerAfter: 0.5}))
		from := newOrigin("v1")
		o := node.ReadOptions{Load: from.load}
		for _, m := range ms {
			m.wantsOf("k", o, "v1", false)
		}
		p.pass(40 * time.Second)
		from.now("v2")
		from.takes.Store(int64(100 * time.Millisecond))
		for _, m := range ms {
			m.wantsOf("k", o, "v1", false)
		}
		p.pass(time.Second)
		for _, m := range ms {
			m.wantsOf("k", o, "v2", false)
		}
		from.wantCalls(t, 2)
	})
}

// An expired copy answers at once, while one load runs in the background.
func TestStaleWhileRevalidate(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", with(node.Policy{TTL: time.Minute, MaxStale: time.Hour, Fallback: node.WhileReloading}))
		from := newOrigin("v1")
		o := node.ReadOptions{Load: from.load}
		a.wantsOf("k", o, "v1", false)
		f.pass(time.Minute)
		from.now("v2")
		from.takes.Store(int64(time.Second))
		began := time.Now()
		for range 3 {
			a.wantsOf("k", o, "v1", true)
		}
		if took := time.Since(began); took != 0 {
			t.Fatalf("readers waited %v", took)
		}
		f.pass(2 * time.Second)
		a.wantsOf("k", o, "v2", false)
		from.wantCalls(t, 2)
	})
}
