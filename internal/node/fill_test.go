package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// gate is a loader that can be held up.
type gate struct {
	mu    sync.Mutex
	calls int
	value string
	tags  []string
	open  chan struct{}
}

func newGate(value string, tags ...string) *gate {
	return &gate{value: value, tags: tags, open: make(chan struct{})}
}

func (g *gate) load(ctx context.Context, _ string) (node.Loaded, error) {
	g.mu.Lock()
	g.calls++
	value, open := g.value, g.open
	g.mu.Unlock()
	select {
	case <-open:
		return node.Loaded{Payload: []byte(value), Tags: g.tags}, nil
	case <-ctx.Done():
		return node.Loaded{}, ctx.Err()
	}
}

// now changes what the loads that begin from here on see.
func (g *gate) now(value string) {
	g.mu.Lock()
	g.value = value
	g.mu.Unlock()
}

// reading is a read that goes on by itself.
type reading struct {
	value string
	err   error
	done  chan struct{}
}

func (m *member) reads(key string, load node.Loader) *reading {
	r := &reading{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.value, r.err = m.get(key, node.ReadOptions{Load: load})
	}()
	synctest.Wait()
	return r
}

// P23, P24: a fence that arrives during a load kills its value, in every tier,
// whatever it covers by. The reader who asked before it gets the value.
func TestLoadThatAFenceOutranIsNotKept(t *testing.T) {
	for name, scope := range map[string]events.Scope{
		"key": {Keys: []string{"p:k"}}, "tag": {Tags: []string{"t"}}, "prefix": {Prefixes: []string{"p:"}},
		"glob": {Globs: []string{"*k"}}, "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.shared = newSharedTier()
				a, b := f.start("a", options{}), f.start("b", options{})
				origin := newGate("old", "t")
				r := a.reads("p:k", origin.load)
				origin.now("new")
				b.invalidate(scope)
				f.caughtUp(a)
				close(origin.open)
				<-r.done
				if r.err != nil || r.value != "old" {
					t.Fatalf("%q, %v", r.value, r.err)
				}
				synctest.Wait()
				for _, m := range []*member{a, b} {
					m.wants("p:k", "")
				}
				if n := len(f.shared.backup()); n != 0 {
					t.Fatalf("%d copies in the shared tier", n)
				}
				if a.Stats().FillsRefused != 1 {
					t.Fatalf("%d fills refused", a.Stats().FillsRefused)
				}
			})
		})
	}
}

// P26: whoever reads after a fence joins no load that began before it.
func TestReaderAfterAFenceLoadsAnew(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		origin := newGate("old")
		before := a.reads("k", origin.load)
		joined := a.reads("k", origin.load)
		origin.now("new")
		a.invalidate(events.Scope{Keys: []string{"k"}})
		after := a.reads("k", origin.load)
		if origin.calls != 2 {
			t.Fatalf("%d loads, want one for the two readers before the fence and one for the one behind", origin.calls)
		}
		close(origin.open)
		<-before.done
		<-joined.done
		<-after.done
		if before.value != "old" || joined.value == "" || after.value != "new" {
			t.Fatalf("%q, %q, %q", before.value, joined.value, after.value)
		}
		a.wants("k", "new")
	})
}

// G10 in one process: one load for any number of readers.
func TestReadersShareALoad(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		origin := newGate("v")
		var rs []*reading
		for range 50 {
			rs = append(rs, a.reads("k", origin.load))
		}
		close(origin.open)
		for _, r := range rs {
			<-r.done
			if r.err != nil || r.value != "v" {
				t.Fatalf("%q, %v", r.value, r.err)
			}
		}
		if origin.calls != 1 {
			t.Fatalf("%d loads", origin.calls)
		}
	})
}

// H8: joining is serving. A load that began under a valid lease is not shared
// with a reader who comes when it has lapsed.
func TestNobodyJoinsUnderALapsedLease(t *testing.T) {
	for _, policy := range []events.Policy{events.PolicyFence, events.PolicyServe} {
		t.Run(string(policy), func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.settings.Policy = policy
				a := f.start("a", options{config: func(c *node.Config) { c.LoadTimeout = time.Hour }})
				origin := newGate("old")
				first := a.reads("k", origin.load)
				a.log.Cut()
				time.Sleep(2 * lease)
				origin.now("new")
				second := a.reads("k", origin.load)
				time.Sleep(2 * lease)
				close(origin.open)
				<-first.done
				<-second.done
				if second.err != nil || second.value != "new" {
					t.Fatalf("%q, %v: joined a load from before", second.value, second.err)
				}
			})
		})
	}
}

// H7: a load under an open bracket is not shared, also if only its tags, known
// when it ends, show that the bracket covers it. The bracket's writer may have
// committed between the two reads.
func TestNobodyJoinsALoadThatABracketCovers(t *testing.T) {
	for name, scope := range map[string]events.Scope{"key": {Keys: []string{"k"}}, "tag": {Tags: []string{"t"}}} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				a := f.start("a", options{})
				origin := newGate("old", "t")
				if err := a.appends(&events.Intent{Bracket: events.BracketID{1}, Scope: scope}); err != nil {
					t.Fatal(err)
				}
				f.caughtUp(a)
				before := a.reads("k", origin.load)
				origin.now("new") // the bracket's writer commits
				after := a.reads("k", origin.load)
				close(origin.open)
				<-before.done
				<-after.done
				if after.err != nil || after.value != "new" {
					t.Fatalf("a read after the commit got %q, %v", after.value, after.err)
				}
				synctest.Wait()
				a.wants("k", "")
			})
		})
	}
}

func TestLoaderThatReadsItsOwnKeyIsTold(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		var load node.Loader
		load = func(ctx context.Context, key string) (node.Loaded, error) {
			other := map[string]string{"k": "via", "via": "k"}[key]
			r, err := a.Get(ctx, other, nil, node.ReadOptions{Load: load})
			return node.Loaded{Payload: r.Entry}, err
		}
		if _, err := a.get("k", node.ReadOptions{Load: load}); !errors.Is(err, node.ErrCycle) {
			t.Fatalf("%v, want ErrCycle", err)
		}
	})
}

// P4: a value made of cached reads is as old as the oldest of them, and dies
// with each.
func TestNestedLoadsDieWithWhatTheyAreMadeOf(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, part, whole := f.start("a", options{}), f.near("part"), f.near("whole")
		if _, err := a.get(part, node.ReadOptions{Load: loads("p1", "parts")}); err != nil {
			t.Fatal(err)
		}
		load := func(ctx context.Context, _ string) (node.Loaded, error) {
			r, err := a.Get(ctx, part, nil, node.ReadOptions{})
			return node.Loaded{Payload: append([]byte("of "), r.Entry.Payload()...), Tags: []string{"wholes"}}, err
		}
		if v, err := a.get(whole, node.ReadOptions{Load: load}); err != nil || v != "of p1" {
			t.Fatalf("%q, %v", v, err)
		}
		a.wants(whole, "of p1")
		a.invalidate(events.Scope{Tags: []string{"parts"}})
		a.wants(part, "")
		a.wants(whole, "")
	})
}

// P50: loads are admitted a few at a time; who waits longer than a load may
// take is told so. A load within a load runs on the outer one's admission.
func TestAdmissionBoundsLoads(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{config: func(c *node.Config) { c.MaxLoads = 1; c.LoadTimeout = 4 * time.Second }})
		nested := func(ctx context.Context, _ string) (node.Loaded, error) {
			r, err := a.Get(ctx, "inner", nil, node.ReadOptions{Load: loads("v")})
			return node.Loaded{Payload: r.Entry.Payload()}, err
		}
		if v, err := a.get("outer", node.ReadOptions{Load: nested}); err != nil || v != "v" {
			t.Fatalf("%q, %v", v, err)
		}
		slow := newGate("v")
		first := a.reads("slow", slow.load)
		time.Sleep(time.Second)
		second := a.reads("other", loads("w"))
		time.Sleep(2 * time.Second)
		close(slow.open)
		<-first.done
		<-second.done
		if first.err != nil || second.err != nil || second.value != "w" {
			t.Fatalf("%v, %q, %v", first.err, second.value, second.err)
		}
		stuck := newGate("v")
		release := sync.OnceFunc(func() { close(stuck.open) })
		defer release()
		holder := a.reads("stuck", func(_ context.Context, key string) (node.Loaded, error) {
			return stuck.load(context.Background(), key) // a loader that heeds no deadline
		})
		waiting := a.reads("another", loads("x"))
		<-waiting.done
		if !errors.Is(waiting.err, node.ErrOverloaded) {
			t.Fatalf("%v, want ErrOverloaded", waiting.err)
		}
		release()
		<-holder.done
	})
}

func TestLoaderThatPanicsFailsItsReaders(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		if _, err := a.get("k", node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) { panic("boom") }}); err == nil {
			t.Fatal("no error")
		}
		if v, err := a.get("k", node.ReadOptions{Load: loads("v")}); err != nil || v != "v" {
			t.Fatalf("%q, %v", v, err)
		}
	})
}

// Of two Puts with row versions the higher wins wherever it stands in the log,
// on every node and after a restart.
func TestHigherRowVersionWins(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		put := func(m *member, value string, version uint64) {
			t.Helper()
			o := node.PutOptions{Version: events.Version{N: version, Known: true}}
			if _, err := m.Put(context.Background(), "k", []byte(value), o); err != nil {
				t.Fatal(err)
			}
		}
		put(a, "second", 2)
		f.caughtUp(b)
		put(b, "first", 1)
		f.caughtUp(a)
		a.wants("k", "second")
		b.wants("k", "second")
		b.stop()
		b = f.start("b", options{fs: b.fs})
		put(a, "zeroth", 0)
		f.caughtUp(b)
		b.wants("k", "second")
		put(b, "third", 3)
		f.caughtUp(a)
		a.wants("k", "third")
		b.wants("k", "third")
		a.put("k", "unversioned") // the later in the log
		f.caughtUp(b)
		b.wants("k", "unversioned")
	})
}

// A value that does not ride inline is a fence in the log, and reaches others
// through the shared tier.
func TestLargePutTravelsBesideTheLog(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a, b := f.start("a", options{}), f.start("b", options{})
		a.put("k", "small")
		f.caughtUp(b)
		large := strings.Repeat("x", f.settings.InlineMax+1)
		a.put("k", large)
		f.caughtUp(b)
		for _, m := range []*member{a, b} {
			m.wants("k", large)
		}
		_, last := f.stream.Bounds()
		for p := events.Position(1); p <= last; p++ {
			if d, _ := f.stream.At(p); len(d.Data) > f.settings.InlineMax {
				t.Fatalf("record %d has %d bytes", p, len(d.Data))
			}
		}
		_, err := a.Put(context.Background(), "k", make([]byte, 17<<20), node.PutOptions{})
		if !errors.Is(err, node.ErrTooLarge) {
			t.Fatalf("%v, want ErrTooLarge", err)
		}
		a.wants("k", large)
	})
}

// A damaged entry in a record is a fence, and a damaged one in the shared tier
// a miss: no crash, nothing half applied.
func TestDamagedEntries(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		a.put("k", "v")
		for i, entry := range [][]byte{{1, 2, 3}, []byte(strings.Repeat("\xff", 200)), otherKey(t)} {
			if err := a.appends(&events.Put{Key: "k", Entry: entry}); err != nil {
				t.Fatal(err)
			}
			f.caughtUp(a)
			f.shared.Clear(context.Background())
			a.wants("k", "")
			if n := a.Stats().Corrupt; n != uint64(i+1) {
				t.Fatalf("%d corrupt, want %d", n, i+1)
			}
		}
		a.put("k", "w")
		a.wants("k", "w")
	})
}

// otherKey is a sound entry, of another key.
func otherKey(t *testing.T) []byte {
	h := tiers.Header{Key: "other", Created: time.Now(), Expiry: time.Now().Add(time.Hour)}
	return must(tiers.Append(nil, &h, []byte("x")))(t)
}

// A write whose answer is lost is told as such, and is not lost: the log has
// it, once.
func TestWriteWithoutAnAnswer(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		a.log.Inject(memlog.Faults{Publish: func(events.ID, int) (memlog.Fate, time.Duration) { return memlog.AnswerLost, 0 }})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := a.Put(ctx, "k", []byte("v"), node.PutOptions{})
		if !errors.Is(err, events.ErrIndeterminate) {
			t.Fatalf("%v, want ErrIndeterminate", err)
		}
		f.caughtUp(b)
		b.wants("k", "v")
		a.log.Inject(memlog.Faults{Publish: func(events.ID, int) (memlog.Fate, time.Duration) { return memlog.Refused, 0 }})
		if _, err := a.Put(context.Background(), "k", []byte("w"), node.PutOptions{}); !errors.Is(err, events.ErrNotLanded) {
			t.Fatalf("%v, want ErrNotLanded", err)
		}
		b.wants("k", "v")
	})
}

// An invalidation of a million keys is one record in each partition.
func TestPrefixIsOneRecord(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		for i := range 500 {
			a.put(fmt.Sprintf("p:%d", i), "v")
		}
		before := a.Stats()
		a.invalidate(events.Scope{Prefixes: []string{"p:"}})
		if n := a.Stats().BroadFences - before.BroadFences; n != uint64(f.settings.Partitions) {
			t.Fatalf("%d fences", n)
		}
		for i := range 500 {
			a.wants(fmt.Sprintf("p:%d", i), "")
		}
	})
}
