package node_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// P29: a touch moves the expiry and nothing else; a fence that stands between
// the copy's birth and the touch's moment goes on covering it.
func TestTouchKeepsTheBirth(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		born := a.put("k", "v").At(f.home()).Position
		time.Sleep(lease) // pulses move the place on
		if ok, err := a.Touch(context.Background(), "k", time.Now().Add(time.Hour)); err != nil || !ok {
			t.Fatal(ok, err)
		}
		r, err := a.Get(context.Background(), "k", nil, node.ReadOptions{})
		if err != nil || r.Entry.Birth() != born {
			t.Fatalf("born at %d after the touch, %d before, %v", r.Entry.Birth(), born, err)
		}
	})
}

// P29: a soft fence leaves nothing that passes for alive.
func TestSoftFencesCover(t *testing.T) {
	for name, scope := range map[string]events.Scope{
		"key": ofK, "tag": {Tags: []string{"t"}}, "prefix": {Prefixes: []string{"p:"}}, "glob": {Globs: []string{"p:*"}}, "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				a, b := f.start("a", options{}), f.start("b", options{})
				for _, key := range []string{"k", "p:1"} {
					if _, err := a.Put(context.Background(), key, []byte("v"), node.PutOptions{Tags: []string{"t"}}); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := a.Invalidate(context.Background(), events.Invalidate{Scope: scope, Soft: true}, node.InvalidateOptions{}); err != nil {
					t.Fatal(err)
				}
				f.caughtUp(b)
				key := "p:1"
				if name == "key" {
					key = "k"
				}
				for _, m := range []*member{a, b} {
					m.wants(key, "")
				}
			})
		})
	}
}

// P26: a session joins no load that began before what it has seen.
func TestSessionJoinsNoOlderLoad(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		g := newGate("v")
		first := a.reads("k", g.load)
		token := a.put(f.near("another"), "v")
		second := make(chan error, 1)
		go func() {
			_, err := a.get("k", node.ReadOptions{Level: session(token), Load: g.load})
			second <- err
		}()
		synctest.Wait()
		if g.calls != 2 {
			t.Errorf("%d loads, want 2: the second reader has seen more than the first load", g.calls)
		}
		close(g.open)
		<-first.done
		if err := <-second; err != nil {
			t.Fatal(err)
		}
	})
}

// P24: who joins a load does not get its value if a fence of the value's tag,
// which nobody knew then, had been applied before.
func TestJoinedValueIsJudgedByItsTags(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		g := newGate("before", "t")
		first := a.reads("k", g.load)
		a.invalidate(events.Scope{Tags: []string{"t"}})
		g.now("after")
		second := a.reads("k", g.load)
		close(g.open)
		<-first.done
		<-second.done
		if second.err != nil || second.value != "after" {
			t.Fatalf("%q, %v; want what was loaded behind the fence", second.value, second.err)
		}
	})
}

// P37: a node that has lost its disk knows nothing of the fences from before
// its start.
func TestLostDiskTrustsNoOlderCopy(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		a.put("k", "old")
		old := f.shared.backup()
		a.invalidate(ofK)
		f.caughtUp(a)
		a.sync()
		a.stop()
		f.shared.restore(old) // rolled back, as a failover does
		a = f.start("a", options{fs: a.fs, wrap: func(d node.Disk) node.Disk { return deadDisk{d} }})
		a.wants("k", "")
	})
}

// deadDisk answers no lookup.
type deadDisk struct{ node.Disk }

func (deadDisk) Lookup(string, []byte) (tiers.Fence, tiers.Entry, error) {
	return tiers.Fence{}, nil, fmt.Errorf("test: %w", tiers.ErrUnavailable)
}

// P27: a copy keeps its birth on its way nearer, or a tag's fence that stands
// between would miss it.
func TestPromotedCopyKeepsItsBirth(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		born := a.put("k", "v").At(f.home()).Position
		for name, o := range map[string]options{"from disk": {fs: a.fs}, "from L2": {}} {
			a.stop()
			b := f.start("b", o)
			time.Sleep(lease)
			b.memory.Remove("k")
			for range 2 { // the second from where the first has put it
				r, err := b.Get(context.Background(), "k", nil, node.ReadOptions{})
				if err != nil || r.Entry.Birth() != born {
					t.Errorf("%s: born at %d, want %d, %v", name, r.Entry.Birth(), born, err)
				}
			}
			b.stop()
		}
	})
}

// P35: what L2 holds is judged, whoever put it there and whenever.
func TestSharedCopiesAreJudged(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		for _, scope := range []events.Scope{ofK, {Tags: []string{"t"}}, {All: true}} {
			if _, err := a.Put(context.Background(), "k", []byte("old"), node.PutOptions{Tags: []string{"t"}}); err != nil {
				t.Fatal(err)
			}
			old := f.shared.backup()
			a.invalidate(scope)
			f.shared.restore(old)
			a.wants("k", "")
		}
	})
}

// A put that does not ride inline, and reaches nobody by another way, still
// kills the older copies.
func TestPutWithoutItsValueIsAFence(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		if err := a.appends(&events.Put{Key: "k"}); err != nil {
			t.Fatal(err)
		}
		f.caughtUp(a)
		f.caughtUp(b)
		a.wants("k", "")
		b.wants("k", "")
	})
}

// Tags, prefixes, globs and all fence in every partition, for their copies may
// lie in any.
func TestBroadScopesGoToEveryPartition(t *testing.T) {
	for _, scope := range []events.Scope{{Tags: []string{"t"}}, {Prefixes: []string{"p:"}}, {Globs: []string{"*"}}, {All: true}} {
		parts := node.SplitScope(events.Invalidate{Scope: scope}, 3)
		if slices.Contains(parts, nil) {
			t.Errorf("%+v leaves a partition out", scope)
		}
	}
}

// H9: the token after a read covers the birth of what was read, though the
// node has not come so far.
func TestTokenCoversWhatWasReadFromAhead(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a, b := f.pair(options{}, options{})
		b.log.Cut()
		born := a.put("fresh", "v").At(f.home()).Position
		b.wants("fresh", "v") // from L2
		if seen := b.Token().At(f.home()).Position; seen < born {
			t.Fatalf("token at %d after a copy born at %d was read", seen, born)
		}
	})
}

// P4: a value made of a copy is as old as that copy: a fence that stands
// between the copy's birth and the load covers the value.
func TestNestedLoadIsAsOldAsWhatItReads(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("part", "old")
		a.invalidate(ofK)
		whole := func(ctx context.Context, _ string) (node.Loaded, error) {
			r, err := a.Get(ctx, "part", nil, node.ReadOptions{})
			return node.Loaded{Payload: append([]byte("whole of "), r.Entry.Payload()...)}, err
		}
		if v, err := a.get("k", node.ReadOptions{Load: whole}); err != nil || v != "whole of old" {
			t.Fatalf("%q, %v", v, err)
		}
		a.wants("k", "")
	})
}

// H8: a node that is cut off and serves what it has, marked, still lets nobody
// join a load from before: what it brings is not marked.
func TestCutOffNodeSharesNoLoad(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.settings.Policy = events.PolicyServe
		a := f.start("a", options{})
		g := newGate("before")
		first := a.reads("k", g.load)
		a.log.Cut()
		time.Sleep(2 * lease)
		g.now("after")
		second := a.reads("k", g.load)
		close(g.open)
		<-first.done
		<-second.done
		if second.err != nil || second.value != "after" {
			t.Fatalf("%q, %v; want what was loaded after the lease", second.value, second.err)
		}
	})
}

// C1: fresh-as-of is when a pulse set out, however long it took to come back.
func TestSlowPulsesMakeNobodyFresher(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		const slow = lease / 2
		a.log.Inject(memlog.Faults{Delay: func() time.Duration { return slow }})
		time.Sleep(lease)
		for range 100 {
			time.Sleep(lease / 50)
			if x, err := a.Explain(context.Background(), "k"); err != nil || x.FreshFor > lease-slow {
				t.Fatalf("fresh for %v, %v; no pulse of the last %v is back", x.FreshFor, err, slow)
			}
		}
	})
}

// P51: a pulse that was in the log before a strong read was invoked does not
// answer it, though it is applied later.
func TestStrongReadNeedsAPulseOfItsOwn(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		patient := options{config: func(c *node.Config) { c.WaitTimeout = 2 * lease }}
		a, b := f.pair(options{}, patient)
		slow := memlog.Faults{Delay: func() time.Duration { return lease / 50 }}
		b.log.Inject(slow)
		var last events.Position
		for onItsWay := false; !onItsWay; time.Sleep(lease / 1000) {
			_, last = f.stream.Bounds()
			onItsWay = f.lastPulse().Node == "b" && b.Stats().Partitions[f.home()].Applied < last
		}
		a.put("k", "new")
		// The pulse arrives alone, what stands behind it a while later.
		slow.Deliver = func(p events.Position) memlog.Route {
			if p > last && b.Stats().Partitions[f.home()].Applied < last {
				return memlog.Stalled
			}
			return memlog.Delivered
		}
		b.log.Inject(slow)
		v, err := b.get("k", node.ReadOptions{Level: consistency.Strong()})
		if err != nil || v != "new" {
			t.Fatalf("strong read: %q, %v; want what was there when it was invoked", v, err)
		}
	})
}
