package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// replica is an origin that lags: it has come to a position of its own, in a
// history of one row.
type replica struct {
	told []string
	// at answers from what has been replicated; waits: it catches up first.
	value map[string]string
	at    string
	tags  []string
}

// load reads the replica as it should be read: not behind what is required.
func (r *replica) load(ctx context.Context, _ string) (node.Loaded, error) {
	need, known := node.RequiredSource(ctx)
	if !known {
		return node.Loaded{Payload: []byte("from the primary")}, nil
	}
	r.told = append(r.told, need)
	at := r.at
	if need > at {
		at = need // it has waited until the replica came that far
	}
	return node.Loaded{Payload: []byte(r.value[at]), Tags: r.tags}, nil
}

func (m *member) invalidateAt(source string, scope events.Scope) {
	m.t.Helper()
	must(m.Invalidate(context.Background(), events.Invalidate{Scope: scope, Source: source}, node.InvalidateOptions{}))(m.t)
}

// P3: what a lagging replica answers would be kept above the fence that told of
// the change. The loader is told how far the replica must have come.
func TestLoaderIsToldTheRequiredSource(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		r := &replica{at: "1", value: map[string]string{"1": "old", "2": "new"}}
		a.invalidateAt("2", ofK)
		if v, err := a.get("k", node.ReadOptions{Load: r.load}); err != nil || v != "new" {
			t.Fatalf("%q, %v", v, err)
		}
		a.wants("k", "new")
		if v, err := a.get("other", node.ReadOptions{Load: r.load}); err != nil || v != "old" {
			t.Fatalf("a key that nothing was said of: %q, %v", v, err)
		}
		// G7: a restart does not forget it.
		a.sync()
		a = f.start("a", options{fs: a.crash(100)})
		r.told = nil
		a.get("k", node.ReadOptions{Level: consistency.Strong(), Load: r.load})
		a.invalidate(ofK) // without a position: the one before still binds
		a.get("k", node.ReadOptions{Load: r.load})
		if len(r.told) != 1 || r.told[0] != "2" {
			t.Errorf("after the restart loaders were told %q, want 2", r.told)
		}
	})
}

// P3, P53: a node that does not know which changes there were says so.
func TestLoaderIsToldThatNobodyKnows(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		r := &replica{at: "1", value: map[string]string{"1": "old", "2": "new"}}
		b.log.Cut()
		a.invalidateAt("2", ofK)
		many := func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
			l, err := r.load(ctx, "")
			return map[string]node.Loaded{"k": l}, err
		}
		for name, l := range map[string]consistency.Level{"strong": consistency.Strong(), "bounded": {}} {
			if name == "bounded" {
				f.pass(2 * lease)
			}
			if v, err := b.get("k", node.ReadOptions{Level: l, Load: r.load}); err != nil || v != "from the primary" {
				t.Errorf("%s: %q, %v", name, v, err)
			}
			b.wantMany(node.BatchOptions{Level: l, Load: many}, []string{"k"}, "from the primary")
		}
	})
}

// P3, P24: a tag is known only when the load returns. A loader that asks how far
// its replica must be is asked again if the tag's fence demands more.
func TestSourceOfATagIsCheckedAfterTheLoad(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		r := &replica{at: "1", value: map[string]string{"1": "old", "2": "new"}, tags: []string{"t"}}
		a.invalidateAt("2", events.Scope{Tags: []string{"t"}})
		if v, err := a.get("k", node.ReadOptions{Load: r.load}); err != nil || v != "new" {
			t.Fatalf("%q, %v, told %q", v, err, r.told)
		}
		a.wants("k", "new")

		// The same in a batch.
		many := func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
			l, err := r.load(ctx, "")
			return map[string]node.Loaded{"b1": l, "b2": {Payload: []byte("untagged")}}, err
		}
		a.wantMany(node.BatchOptions{Load: many}, []string{"b1", "b2"}, "new", "untagged")
		a.wantMany(node.BatchOptions{}, []string{"b1", "b2"}, "new", "untagged")

		// One that reads the primary, and does not ask, is called once.
		calls := 0
		v, err := a.get("primary", node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
			calls++
			return node.Loaded{Payload: []byte("new"), Tags: []string{"t"}}, nil
		}})
		if err != nil || v != "new" || calls != 1 {
			t.Errorf("%q, %v after %d calls", v, err, calls)
		}
	})
}

// A loader that can't be told enough hands its value to who asked, and no
// further.
func TestValueBehindItsTagsSourceIsNotKept(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		calls := 0
		load := func(ctx context.Context, _ string) (node.Loaded, error) {
			node.RequiredSource(ctx)
			calls++
			tag := string(rune('a' + calls))
			a.invalidateAt(tag, events.Scope{Tags: []string{tag}})
			return node.Loaded{Payload: []byte("v"), Tags: []string{tag}}, nil
		}
		if v, err := a.get("k", node.ReadOptions{Load: load}); err != nil || v != "v" || calls != 2 {
			t.Fatalf("%q, %v after %d calls, want 2", v, err, calls)
		}
		a.wants("k", "")
	})
}

// startSplit starts a member of a fleet of two partitions, without a disk,
// whose log of the other partition than k's has faults.
func (f *fleet) startSplit(name string, other memlog.Faults) *member {
	f.t.Helper()
	f.settings.Partitions = 2
	m := f.start(name, options{noDisk: true})
	m.others[0].Inject(other)
	return m
}

// far returns a key that lies in another partition than k.
func (f *fleet) far(name string) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint(name, i); node.Partition(key, f.settings.Partitions) != f.home() {
			return key
		}
	}
}

// Reads within a loader are at least as fresh as the read that it runs for, in
// partitions that its own key does not lie in, too.
func TestNestedReadsInheritTheLevel(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		a, b := f.startSplit("a", memlog.Faults{}), f.startSplit("b", memlog.Faults{Delay: func() time.Duration { return lease / 10 }})
		part := f.far("part")
		a.put(part, "old")
		for b.many(node.BatchOptions{}, part)[0] != "old" {
			b.get(part, node.ReadOptions{Level: consistency.Strong(), Load: loads("old")})
		}
		token := must(a.Invalidate(context.Background(), events.Invalidate{Scope: events.Scope{Keys: []string{part}}}, node.InvalidateOptions{}))(t)
		page := func(ctx context.Context, _ string) (node.Loaded, error) {
			r, err := b.Get(ctx, part, nil, node.ReadOptions{Level: consistency.Eventual(), Load: loads("new")})
			if err != nil {
				return node.Loaded{}, err
			}
			return node.Loaded{Payload: append([]byte("page of "), r.Entry.Payload()...)}, nil
		}
		if v, err := b.get(f.near("any"), node.ReadOptions{Load: page}); err != nil || v != "page of old" {
			t.Fatalf("at the default level: %q, %v; b is not behind, and the test tests nothing", v, err)
		}
		for name, l := range map[string]consistency.Level{"session": consistency.Session(token), "strong": consistency.Strong()} {
			if v, err := b.get(f.near(name), node.ReadOptions{Level: l, Load: page}); err != nil || v != "page of new" {
				t.Errorf("%s: %q, %v", name, v, err)
			}
		}
	})
}

// R6: a load whose loader has read copies answers those only who ask for no more
// than the read that started it.
func TestNestedLoadIsNotJoinedByStrongerReads(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		a.put("part", "old")
		hold := make(chan struct{})
		page := func(ctx context.Context, _ string) (node.Loaded, error) {
			r, err := a.Get(ctx, "part", nil, node.ReadOptions{})
			if err != nil {
				return node.Loaded{}, err
			}
			v := string(r.Entry.Payload())
			if hold := hold; hold != nil && v == "old" {
				<-hold
			}
			return node.Loaded{Payload: []byte("page of " + v)}, nil
		}
		go a.get("page", node.ReadOptions{Load: page})
		synctest.Wait()
		a.put("part", "new")
		strong := make(chan string)
		for range 3 {
			go func() {
				v, _ := a.get("page", node.ReadOptions{Level: consistency.Strong(), Load: page})
				strong <- v
			}()
		}
		f.pass(lease / 2)
		close(hold)
		for range 3 {
			if v := <-strong; v != "page of new" {
				t.Errorf("a strong read got %q", v)
			}
		}
	})
}

// P8: that something does not exist is known for a minute at most, unless a tag
// says what would change that.
func TestNegativeAnswersWithoutTagsAreShort(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		calls := 0
		absent := func(tags ...string) node.Loader {
			return func(context.Context, string) (node.Loaded, error) {
				calls++
				return node.Loaded{Flags: tiers.FlagNegative, Tags: tags, TTL: time.Hour}, nil
			}
		}
		wants := func(n int, key string, l node.Loader) {
			t.Helper()
			if _, err := a.get(key, node.ReadOptions{Load: l}); !errors.Is(err, node.ErrNotFound) || calls != n {
				t.Fatalf("%s: %v after %d calls, want %d", key, err, calls, n)
			}
		}
		wants(1, "untagged", absent())
		wants(2, "tagged", absent("t"))
		f.pass(2 * time.Minute)
		wants(2, "tagged", absent("t"))
		wants(3, "untagged", absent())
		a.invalidate(events.Scope{Tags: []string{"t"}}) // somebody has inserted it
		wants(4, "tagged", absent("t"))
	})
}

// P8: an insert fences a key that nobody has cached, and so the tag of what it
// adds to: the results of queries, and what was known not to exist, die with it
// on every node, in every tier, the shared one's late copy included.
func TestQueryResultsDieWithAnInsert(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a, b := f.start("a", options{}), f.start("b", options{})
		rows := "boots"
		query := func(context.Context, string) (node.Loaded, error) {
			return node.Loaded{Payload: []byte(rows), Tags: []string{"category:3"}}, nil
		}
		absent := func(context.Context, string) (node.Loaded, error) {
			return node.Loaded{Flags: tiers.FlagNegative, Tags: []string{"category:3"}}, nil
		}
		for _, m := range []*member{a, b} {
			if v, err := m.get("list:category:3", node.ReadOptions{Load: query}); err != nil || v != rows {
				t.Fatalf("%q, %v", v, err)
			}
			if _, err := m.get("product:99", node.ReadOptions{Load: absent}); !errors.Is(err, node.ErrNotFound) {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		old := f.shared.backup()
		if len(old) != 2 {
			t.Fatalf("%d copies in the shared tier", len(old))
		}
		rows = "boots, sandals"
		token := b.invalidate(events.Scope{Keys: []string{"product:98"}, Tags: []string{"category:3"}})
		f.shared.restore(old)
		for _, m := range []*member{a, b, f.start("c", options{})} {
			o := node.ReadOptions{Level: consistency.Session(token), Load: query}
			if v, err := m.get("list:category:3", o); err != nil || v != rows {
				t.Errorf("%s: the query yields %q, %v behind the insert", m.id, v, err)
			}
			o.Load = loads("sandals", "category:3")
			if v, err := m.get("product:99", o); err != nil || v != "sandals" {
				t.Errorf("%s: what was inserted: %q, %v", m.id, v, err)
			}
			f.shared.restore(old)
		}
	})
}

// A node that is cut off, in a domain that prefers answers, can't tell a loader
// which changes there were; and a value that is made of a marked copy is marked.
func TestLoadsOfANodeThatIsCutOff(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.settings.Policy = events.PolicyServe
		a := f.start("a", options{})
		part, other := f.near("part"), f.near("other")
		a.put(part, "old")
		a.log.Cut()
		f.pass(2 * lease)
		known := true
		load := func(ctx context.Context, _ string) (node.Loaded, error) {
			_, known = node.RequiredSource(ctx)
			r, err := a.Get(ctx, part, nil, node.ReadOptions{})
			return node.Loaded{Payload: append([]byte("of "), r.Entry.Payload()...)}, err
		}
		r, err := a.Get(context.Background(), f.near("page"), nil, node.ReadOptions{Load: load})
		if err != nil || string(r.Entry.Payload()) != "of old" || !r.Stale {
			t.Errorf("%q, stale %v, %v", r.Entry.Payload(), r.Stale, err)
		}
		if known {
			t.Error("the loader was told a position")
		}
		answers := a.GetMany(context.Background(), []string{other}, node.BatchOptions{
			Load: func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
				_, known = node.RequiredSource(ctx)
				return map[string]node.Loaded{other: {Payload: []byte("v")}}, nil
			}})
		if answers[0].Err != nil || known {
			t.Errorf("batch: %v, position known %v", answers[0].Err, known)
		}
	})
}

// A bound that is shorter than the pace of pulses is met by a pulse, in a domain
// that prefers answers, too, and by a marked copy only if none comes through.
func TestTightBoundAsksForAPulse(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.settings.Policy = events.PolicyServe
		a := f.start("a", options{})
		a.put("k", "v")
		f.pass(50 * time.Millisecond)
		tight := node.ReadOptions{Level: consistency.Bounded(time.Millisecond)}
		if r, err := a.Get(context.Background(), "k", nil, tight); err != nil || r.Stale {
			t.Fatalf("stale %v, %v", r.Stale, err)
		}
		a.log.Inject(memlog.Faults{Deliver: func(events.Position) memlog.Route { return memlog.Stalled }})
		f.pass(50 * time.Millisecond)
		if err := a.appends(&events.Invalidate{Scope: events.Scope{Keys: []string{"other"}}}); err != nil {
			t.Fatal(err)
		}
		if r, err := a.Get(context.Background(), "k", nil, tight); err != nil || !r.Stale {
			t.Fatalf("stalled: stale %v, %v", r.Stale, err)
		}
	})
}
