package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// manyLoads is a loader of batches that remembers its calls.
type manyLoads struct {
	mu    sync.Mutex
	calls [][]string
	value string
	tags  []string
	hold  chan struct{} // not nil: a call waits for its end
}

func (l *manyLoads) load(_ context.Context, keys []string) (map[string]node.Loaded, error) {
	l.mu.Lock()
	l.calls = append(l.calls, slices.Sorted(slices.Values(keys)))
	value := l.value
	l.mu.Unlock()
	if l.hold != nil {
		<-l.hold
	}
	out := map[string]node.Loaded{}
	for _, k := range keys {
		if !strings.HasPrefix(k, "none") {
			out[k] = node.Loaded{Payload: []byte(value + " of " + k), Tags: l.tags}
		}
	}
	return out, nil
}

func (l *manyLoads) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)
}

// many reads keys and returns what each was answered, by its value or error.
func (m *member) many(o node.BatchOptions, keys ...string) []string {
	var out []string
	for _, a := range m.GetMany(context.Background(), keys, o) {
		switch {
		case errors.Is(a.Err, node.ErrNotFound):
			out = append(out, "not found")
		case a.Err != nil:
			out = append(out, a.Err.Error())
		default:
			out = append(out, string(a.Entry.Payload()))
		}
	}
	return out
}

func (m *member) wantMany(o node.BatchOptions, keys []string, want ...string) {
	m.t.Helper()
	if got := m.many(o, keys...); !slices.Equal(got, want) {
		m.t.Fatalf("%v yielded %q, want %q", keys, got, want)
	}
}

// One call of the loader answers all that no tier has, and it is kept.
func TestBatchLoadsOnce(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		a.put("in memory", "here")
		l := &manyLoads{value: "v"}
		o := node.BatchOptions{Load: l.load}
		keys := []string{"x", "in memory", "y", "none", "x"}
		a.wantMany(o, keys, "v of x", "here", "v of y", "not found", "v of x")
		if l.count() != 1 || !slices.Equal(l.calls[0], []string{"none", "x", "y"}) {
			t.Fatalf("the loader was called with %v, want once with what was missing", l.calls)
		}
		a.wantMany(node.BatchOptions{}, []string{"x", "y", "none"}, "v of x", "v of y", "not found")
		synctest.Wait() // what was loaded is shared behind the reader's back
		b := f.start("b", options{})
		b.wantMany(node.BatchOptions{}, []string{"y", "x"}, "v of y", "v of x")
		if s := b.Stats(); s.SharedHits != 2 {
			t.Errorf("%d hits in the shared tier, want 2", s.SharedHits)
		}
	})
}

// Birth is taken before the loader, and what a fence outran is not kept.
func TestBatchOutrunByAFence(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		l := &manyLoads{value: "old", hold: make(chan struct{})}
		done := make(chan []string)
		go func() { done <- a.many(node.BatchOptions{Load: l.load}, "k", "other") }()
		synctest.Wait()
		a.invalidate(ofK)
		// Who asks now for k must not get the load from before the fence; who
		// asks for other shares it.
		fresh := &manyLoads{value: "new"}
		later := make(chan []string)
		go func() { later <- a.many(node.BatchOptions{Load: fresh.load}, "k", "other") }()
		synctest.Wait()
		close(l.hold)
		if got := <-done; !slices.Equal(got, []string{"old of k", "old of other"}) {
			t.Errorf("who asked before the fence got %q", got)
		}
		if got := <-later; !slices.Equal(got, []string{"new of k", "old of other"}) {
			t.Errorf("who asked behind the fence got %q", got)
		}
		a.wantMany(node.BatchOptions{}, []string{"k", "other"}, "new of k", "old of other")
	})
}

// A single read and a batch share a load of the same key.
func TestBatchAndSingleReadShareLoads(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		l := &manyLoads{value: "v", hold: make(chan struct{})}
		done := make(chan []string)
		go func() { done <- a.many(node.BatchOptions{Load: l.load}, "k", "m") }()
		synctest.Wait()
		single := make(chan string)
		go func() { v, _ := a.get("k", node.ReadOptions{Load: loads("my own")}); single <- v }()
		synctest.Wait()
		close(l.hold)
		<-done
		if v := <-single; v != "v of k" {
			t.Errorf("the single read got %q, want to join the batch's load", v)
		}
	})
}

// Keys under an open bracket are loaded past the cache, the others are kept, in
// one call.
func TestBatchUnderABracket(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		before, after := &manyLoads{value: "before"}, &manyLoads{value: "after"}
		a.inBracket(func() {
			a.wantMany(node.BatchOptions{Load: before.load}, []string{"k", "other"}, "before of k", "before of other")
			a.wantMany(node.BatchOptions{Load: after.load}, []string{"k", "other"}, "after of k", "before of other")
		})
		if before.count() != 1 || after.count() != 1 {
			t.Errorf("%d and %d calls, want one each", before.count(), after.count())
		}
	})
}

// What a batch's loader reads of the cache counts for each of its values.
func TestBatchInheritsBirthAndTags(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		must(a.Put(context.Background(), "part", []byte("1"), node.PutOptions{Tags: []string{"t"}}))(t)
		load := func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
			if r := a.GetMany(ctx, []string{"part"}, node.BatchOptions{}); r[0].Err != nil {
				return nil, r[0].Err
			}
			out := map[string]node.Loaded{}
			for _, k := range keys {
				out[k] = node.Loaded{Payload: []byte("made of 1")}
			}
			return out, nil
		}
		a.wantMany(node.BatchOptions{Load: load}, []string{"x", "y"}, "made of 1", "made of 1")
		a.invalidate(events.Scope{Tags: []string{"t"}})
		a.wantMany(node.BatchOptions{}, []string{"x", "y"}, "not found", "not found")

		var cycle error
		a.GetMany(context.Background(), []string{"c"}, node.BatchOptions{Load: func(ctx context.Context, _ []string) (map[string]node.Loaded, error) {
			_, cycle = a.Get(ctx, "c", nil, node.ReadOptions{Load: loads("never")})
			return nil, cycle
		}})
		if !errors.Is(cycle, node.ErrCycle) {
			t.Errorf("a loader that reads a key of its own batch got %v", cycle)
		}
	})
}

// A loader that fails or panics fails its keys, and each error names its key.
func TestBatchLoaderFails(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		broken := errors.New("broken")
		for name, load := range map[string]node.BatchLoader{
			"error": func(context.Context, []string) (map[string]node.Loaded, error) { return nil, broken },
			"panic": func(context.Context, []string) (map[string]node.Loaded, error) { panic("broken") },
		} {
			for _, ans := range a.GetMany(context.Background(), []string{"x", "y"}, node.BatchOptions{Load: load}) {
				var e *node.Error
				if !errors.As(ans.Err, &e) || e.Key != ans.Key || !strings.Contains(ans.Err.Error(), "broken") {
					t.Errorf("%s: %s got %v", name, ans.Key, ans.Err)
				}
			}
		}
	})
}

// A batch waits for its level like a single read.
func TestBatchAtLevels(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		token := a.put("k", "new")
		b.wantMany(node.BatchOptions{Level: consistency.Session(token)}, []string{"k"}, "new")
		a.put("k", "newer")
		b.wantMany(node.BatchOptions{Level: consistency.Strong()}, []string{"k"}, "newer")
		b.log.Cut()
		f.pass(2 * lease)
		l := &manyLoads{value: "origin"}
		b.wantMany(node.BatchOptions{Load: l.load}, []string{"k", "m"}, "origin of k", "origin of m")
		for _, ans := range b.GetMany(context.Background(), []string{"k"}, node.BatchOptions{}) {
			if !errors.Is(ans.Err, node.ErrNotServing) {
				t.Errorf("a node that is cut off answered %v, %v", ans.Result, ans.Err)
			}
		}
	})
}

// P7: what one call invalidates dies at one position.
func TestInvalidateManyIsOneRecord(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		_, before := f.stream.Bounds()
		must(a.InvalidateMany(context.Background(), []events.Invalidate{
			{Scope: events.Scope{Keys: []string{"k1", "k2"}}, Source: "7"}, {Scope: events.Scope{Tags: []string{"t"}}, Soft: true},
		}, node.InvalidateOptions{}))(t)
		if _, after := f.stream.Bounds(); after != before+1 {
			t.Errorf("%d records, want 1", after-before)
		}
		if _, err := a.InvalidateMany(context.Background(), nil, node.InvalidateOptions{}); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("an invalidation of nothing: %v", err)
		}
	})
}

// What does not fit into a record is refused as a whole, with the limit's name.
func TestInvalidateManyRefusesWhatDoesNotFit(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		_, before := f.stream.Bounds()
		var wide, many events.Scope
		for i := range 600 {
			wide.Keys = append(wide.Keys, f.near(fmt.Sprintf("%04d%s", i, strings.Repeat("k", 2000))))
		}
		for i := range events.MaxNames + 1 {
			many.Keys = append(many.Keys, fmt.Sprint(i))
		}
		_, err := a.InvalidateMany(context.Background(), []events.Invalidate{{Scope: wide}}, node.InvalidateOptions{})
		if !errors.Is(err, events.ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(events.MaxRecord)) {
			t.Errorf("a megabyte of names: %v", err)
		}
		_, err = a.InvalidateMany(context.Background(), []events.Invalidate{{Scope: many}}, node.InvalidateOptions{})
		if !errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), fmt.Sprint(events.MaxNames)) {
			t.Errorf("more names than a record holds: %v", err)
		}
		if _, after := f.stream.Bounds(); after != before {
			t.Errorf("%d records were published", after-before)
		}
	})
}

// Values of one call share a record, and those that don't fit go past it.
func TestPutMany(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a, b := f.start("a", options{}), f.start("b", options{})
		_, before := f.stream.Bounds()
		items := []node.Item{{Key: "small", Payload: []byte("s"), Options: node.PutOptions{Tags: []string{"t"}}}}
		for i := range 40 { // more than a record holds
			items = append(items, node.Item{Key: fmt.Sprint("k", i), Payload: []byte(strings.Repeat("x", 40<<10))})
		}
		token := must(a.PutMany(context.Background(), items, node.Logged))(t)
		if _, after := f.stream.Bounds(); after != before+1 {
			t.Errorf("%d records, want 1", after-before)
		}
		for _, m := range []*member{a, b} {
			for i, ans := range m.GetMany(context.Background(), keysOf(items), node.BatchOptions{Level: consistency.Session(token)}) {
				if ans.Err != nil || string(ans.Entry.Payload()) != string(items[i].Payload) {
					t.Fatalf("%s: %v", ans.Key, ans.Err)
				}
			}
		}
		a.invalidate(events.Scope{Tags: []string{"t"}})
		a.wantMany(node.BatchOptions{}, []string{"small"}, "not found")
		if _, err := a.PutMany(context.Background(), []node.Item{{Key: "k"}, {Key: "k"}}, node.Logged); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("a key that stands twice: %v", err)
		}
		if _, err := a.PutMany(context.Background(), []node.Item{{Key: "k"}, {Key: "big", Payload: make([]byte, 17<<20)}}, node.Logged); !errors.Is(err, node.ErrTooLarge) {
			t.Errorf("a value that is too large: %v", err)
		}
		a.wantMany(node.BatchOptions{}, []string{"k"}, "not found")
	})
}

func keysOf(items []node.Item) (keys []string) {
	for _, it := range items {
		keys = append(keys, it.Key)
	}
	return keys
}
