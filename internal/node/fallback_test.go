package node_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

var errOrigin = errors.New("the origin is down")

func fails(context.Context, string) (node.Loaded, error) { return node.Loaded{}, errOrigin }

func (m *member) soften(scope events.Scope) {
	m.t.Helper()
	must(m.Invalidate(context.Background(), events.Invalidate{Scope: scope, Soft: true}, node.InvalidateOptions{}))(m.t)
}

// answers is get with what the result says of itself.
func (m *member) answers(key string, o node.ReadOptions) (value string, stale bool, err error) {
	r, err := m.Get(context.Background(), key, nil, o)
	if err != nil {
		return "", false, err
	}
	return string(r.Entry.Payload()), r.Stale, nil
}

// A copy behind a soft fence answers a read that allows it, marked, when the
// origin fails.
func TestFallbackIfTheOriginFails(t *testing.T) {
	for name, scope := range map[string]events.Scope{
		"key": ofK, "tag": {Tags: []string{"t"}}, "prefix": {Prefixes: []string{"p:"}}, "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.shared = newSharedTier()
				a := f.start("a", options{})
				key := "k"
				if name == "prefix" {
					key = "p:k"
				}
				must(a.Put(context.Background(), key, []byte("old"), node.PutOptions{Tags: []string{"t"}}))(t)
				a.soften(scope)
				if v, _, err := a.answers(key, node.ReadOptions{Load: fails}); !errors.Is(err, errOrigin) {
					t.Fatalf("a read that allows no fallback got %q, %v", v, err)
				}
				o := node.ReadOptions{Load: fails, Fallback: node.IfOriginFails}
				if v, stale, err := a.answers(key, o); err != nil || v != "old" || !stale {
					t.Fatalf("%q, stale %v, %v", v, stale, err)
				}
				if v, stale, err := a.answers(key, node.ReadOptions{Fallback: node.IfOriginFails}); err != nil || v != "old" || !stale {
					t.Fatalf("a read without a loader: %q, stale %v, %v", v, stale, err)
				}
				o.Level = consistency.Strong()
				if v, _, err := a.answers(key, o); !errors.Is(err, errOrigin) {
					t.Fatalf("a strong read got %q, %v", v, err)
				}
				ans := a.GetMany(context.Background(), []string{key}, node.BatchOptions{Fallback: node.IfOriginFails,
					Load: func(context.Context, []string) (map[string]node.Loaded, error) { return nil, errOrigin }})
				if ans[0].Err != nil || !ans[0].Stale {
					t.Fatalf("a batch: stale %v, %v", ans[0].Stale, ans[0].Err)
				}
				// The origin answers again: the answer is kept, and no fallback.
				if v, stale, err := a.answers(key, node.ReadOptions{Load: loads("new"), Fallback: node.IfOriginFails}); err != nil || v != "new" || stale {
					t.Fatalf("%q, stale %v, %v", v, stale, err)
				}
				if v, stale, err := a.answers(key, o); err != nil || v != "new" || stale {
					t.Fatalf("%q, stale %v, %v", v, stale, err)
				}
			})
		})
	}
}

// While a load runs that a read has started, the copy answers at once.
func TestFallbackWhileReloading(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "old")
		a.put("m", "old")
		a.soften(events.Scope{Keys: []string{"k", "m"}})
		hold := make(chan struct{})
		calls := 0
		o := node.ReadOptions{Fallback: node.WhileReloading, Load: func(context.Context, string) (node.Loaded, error) {
			calls++
			<-hold
			return node.Loaded{Payload: []byte("new")}, nil
		}}
		for range 3 {
			if v, stale, err := a.answers("k", o); err != nil || v != "old" || !stale {
				t.Fatalf("%q, stale %v, %v", v, stale, err)
			}
		}
		many := &manyLoads{value: "new", hold: hold}
		for range 2 {
			a.wantMany(node.BatchOptions{Fallback: node.WhileReloading, Load: many.load}, []string{"k", "m"}, "old", "old")
		}
		close(hold)
		synctest.Wait()
		if calls != 1 || many.count() != 1 {
			t.Errorf("%d loads and %d of the batches, want one each", calls, many.count())
		}
		a.wantMany(node.BatchOptions{}, []string{"k", "m"}, "new", "new of m")
	})
}

// P29: a fallback never lies behind a hard fence, under a bracket or past its
// expiry; nor does one that was good when the load began.
func TestFallbackNeverCrossesAHardFence(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		o := node.ReadOptions{Load: fails, Fallback: node.WhileReloading}
		refused := func(why string, o node.ReadOptions) {
			t.Helper()
			if v, _, err := a.answers("k", o); !errors.Is(err, errOrigin) {
				t.Fatalf("%s: %q, %v", why, v, err)
			}
		}
		softened := func() {
			must(a.Put(context.Background(), "k", []byte("old"), node.PutOptions{TTL: time.Minute, Tags: []string{"t"}}))(t)
			a.soften(events.Scope{Tags: []string{"t"}})
		}
		softened()
		a.invalidate(events.Scope{Tags: []string{"t"}})
		refused("behind a hard fence of its tag", o)
		softened()
		a.invalidate(ofK)
		refused("behind a hard fence of its key", o)
		softened()
		a.invalidate(events.Scope{Prefixes: []string{"p:"}, All: true})
		refused("behind a hard fence of everything", o)
		softened()
		a.inBracket(func() { refused("under a bracket", o) })
		softened()
		f.pass(2 * time.Minute)
		refused("past its expiry", o)
		softened()
		refused("a fence came during the load", node.ReadOptions{Fallback: node.IfOriginFails,
			Load: func(context.Context, string) (node.Loaded, error) {
				a.invalidate(events.Scope{Tags: []string{"t"}})
				return node.Loaded{}, errOrigin
			}})
		softened()
		refused("the lease ended during the load", node.ReadOptions{Fallback: node.IfOriginFails,
			Load: func(context.Context, string) (node.Loaded, error) {
				a.log.Cut()
				f.pass(2 * lease)
				return node.Loaded{}, errOrigin
			}})
	})
}

// A value that a loader makes of cached reads can't say that it is made of a
// fallback: there is none within a loader.
func TestNoFallbackWithinALoader(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("part", "old")
		a.soften(events.Scope{Keys: []string{"part"}})
		_, _, err := a.answers("page", node.ReadOptions{Load: func(ctx context.Context, _ string) (node.Loaded, error) {
			r, err := a.Get(ctx, "part", nil, node.ReadOptions{Load: fails, Fallback: node.WhileReloading})
			return node.Loaded{Payload: r.Entry}, err
		}})
		if !errors.Is(err, errOrigin) {
			t.Errorf("the page was made all the same: %v", err)
		}
	})
}

// A hit in memory allocates nothing, whatever the read would allow on a miss.
func TestHitAllocatesNothing(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("k", "v")
		ctx, buf := context.Background(), make([]byte, 0, 256)
		for name, o := range map[string]node.ReadOptions{
			"plain": {}, "loader and fallback": {Load: fails, Fallback: node.WhileReloading},
		} {
			if n := testing.AllocsPerRun(100, func() {
				if r, err := a.Get(ctx, "k", buf, o); err != nil || r.Source != node.FromMemory {
					t.Fatalf("%s: from %s, %v", name, r.Source, err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
