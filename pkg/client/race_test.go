package client_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/pkg/client"
)

// await polls until cond holds; a test that waits in vain fails.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond) // the processors are for those who are waited for
	defer tick.Stop()
	deadline := time.Now().Add(2 * time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited two minutes in vain for %s", what)
		}
		<-tick.C
	}
}

// nothingAlive fails if any tier of n would serve key.
func nothingAlive(t *testing.T, n *client.Client, key string) {
	t.Helper()
	x, err := n.Node().Explain(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tier := range x.Tiers {
		if tier.Verdict == "alive" {
			t.Errorf("%s holds a live copy born at %d; applied %d", tier.Tier, tier.Header.Birth, x.Applied)
		}
	}
}

var scopes = map[string]client.Invalidation{
	"key":    {Keys: []string{"product:17:detail"}},
	"tag":    {Tags: []string{"category:3"}},
	"prefix": {Prefixes: []string{"product:"}},
	"glob":   {Globs: []string{"*:detail"}},
	"all":    {All: true},
}

// P23, P24, G1: a load that began before an invalidation and ends after it
// never becomes visible, in any tier, on any node.
func TestLoadOutrunByAFence(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.open("a"), f.open("b")
		const key = "product:17:detail"
		for name, scope := range scopes {
			for _, ground := range []string{"foreground", "background"} {
				t.Run(name+" "+ground, func(t *testing.T) {
					began, finish := make(chan struct{}), make(chan struct{})
					reader, giveUp := context.WithCancel(t.Context())
					defer giveUp()
					before := a.Node().Stats()
					result := make(chan error, 1)
					go func() {
						v, err := a.GetOrLoad(reader, key, func(context.Context, string) (client.Loaded, error) {
							close(began)
							<-finish
							return client.Loaded{Value: []byte("old"), Tags: []string{"category:3"}}, nil
						})
						if err == nil && string(v.Bytes) != "old" {
							err = fmt.Errorf("the reader that began before got %q", v.Bytes)
						}
						result <- err
					}()
					<-began
					if ground == "background" {
						giveUp()
						if err := <-result; err == nil {
							t.Fatal("a reader that gave up got an answer")
						}
					}
					token, err := b.Invalidate(t.Context(), scope)
					if err != nil {
						t.Fatal(err)
					}
					// a has applied the fence while the load still runs.
					if got := get(t, a, "other", client.At(client.Session(token))); got != "" {
						t.Fatalf("read %q under another key", got)
					}
					close(finish)
					if ground == "foreground" {
						if err := <-result; err != nil {
							t.Fatal(err)
						}
					}
					// A machine so busy that a's lease had run out loads past the cache.
					await(t, "the load to be refused", func() bool {
						s := a.Node().Stats()
						return s.FillsRefused > before.FillsRefused || s.Bypasses > before.Bypasses
					})
					for _, n := range []*client.Client{a, b} {
						nothingAlive(t, n, key)
						if got := get(t, n, key); got != "" {
							t.Errorf("read %q, which was loaded before the fence", got)
						}
					}
					if s := a.Node().Stats(); s.SharedErrors != 0 {
						t.Errorf("%d errors of the shared tier: the test would not have seen a copy there", s.SharedErrors)
					}
				})
			}
		}
		if s := a.Node().Stats(); s.FillsRefused < uint64(len(scopes)) {
			t.Errorf("%d loads were refused, %d went past the cache: too few to tell", s.FillsRefused, s.Bypasses)
		}
	})
}

// P26: who asks after a fence does not join a load that began before it.
func TestOldLoadsAreNotJoined(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.open("a")
		const key = "product:17:detail"
		for name, scope := range scopes {
			t.Run(name, func(t *testing.T) {
				began, finish := make(chan struct{}), make(chan struct{})
				old := make(chan string, 1)
				go func() {
					v, _ := a.GetOrLoad(t.Context(), key, func(context.Context, string) (client.Loaded, error) {
						close(began)
						<-finish
						return client.Loaded{Value: []byte("old"), Tags: []string{"category:3"}}, nil
					})
					old <- string(v.Bytes)
				}()
				<-began
				if _, err := a.Invalidate(t.Context(), scope); err != nil {
					t.Fatal(err)
				}
				fresh := make(chan string, 1)
				go func() {
					v, _ := a.GetOrLoad(t.Context(), key, func(context.Context, string) (client.Loaded, error) {
						return client.Loaded{Value: []byte("new"), Tags: []string{"category:3"}}, nil
					})
					fresh <- string(v.Bytes)
				}()
				if name == "tag" {
					// That the old load's value carries the tag is known only when
					// it ends: the second reader may wait for it, but not take it.
					close(finish)
				} else if got := <-fresh; got != "new" {
					t.Errorf("read %q while the old load ran, want new", got)
				} else {
					close(finish)
				}
				if name == "tag" {
					if got := <-fresh; got != "new" {
						t.Errorf("read %q, want new", got)
					}
				}
				if got := <-old; got != "old" {
					t.Errorf("the first reader got %q", got)
				}
				if _, err := a.Invalidate(t.Context(), client.Invalidation{All: true}); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

// P4: a value made of cached values dies with each of them, and is as old as
// the oldest.
func TestNestedLoadsInheritBirthAndTags(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, inner, outer := f.open("a"), f.near("inner"), f.near("outer") // what spans partitions is not kept
		ctx := t.Context()
		load := func(value string, tags ...string) client.Loader {
			return func(context.Context, string) (client.Loaded, error) {
				return client.Loaded{Value: []byte(value), Tags: tags}, nil
			}
		}
		if _, err := a.GetOrLoad(ctx, inner, load("1", "inner-tag")); err != nil {
			t.Fatal(err)
		}
		made, err := a.Node().Get(ctx, inner, nil, node.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		birth := made.Entry.Birth()
		if _, err := a.Set(ctx, f.near("moves-the-log"), nil); err != nil {
			t.Fatal(err)
		}
		loadOuter := func(ctx context.Context, _ string) (client.Loaded, error) {
			v, err := a.GetOrLoad(ctx, inner, load("2", "inner-tag"))
			return client.Loaded{Value: append([]byte("made of "), v.Bytes...), Tags: []string{"outer-tag"}}, err
		}
		if _, err := a.GetOrLoad(ctx, outer, loadOuter); err != nil {
			t.Fatal(err)
		}
		got, err := a.Node().Get(ctx, outer, nil, node.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Entry.Birth() != birth {
			t.Errorf("outer was born at %d, want %d, the birth of what it is made of", got.Entry.Birth(), birth)
		}
		if _, err := a.Invalidate(ctx, client.Invalidation{Tags: []string{"inner-tag"}}); err != nil {
			t.Fatal(err)
		}
		v, err := a.GetOrLoad(ctx, outer, loadOuter)
		if err != nil {
			t.Fatal(err)
		}
		if string(v.Bytes) != "made of 2" {
			t.Errorf("read %q after the inner value was fenced, want made of 2", v.Bytes)
		}
	})
}

func TestManyReadersOneLoad(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.open("a")
		var o origin
		began, finish := make(chan struct{}), make(chan struct{})
		load := func(ctx context.Context, key string) (client.Loaded, error) {
			if o.loads.Load() == 0 {
				close(began)
			}
			<-finish
			return o.load()(ctx, key)
		}
		const readers = 50
		results := make(chan string, readers)
		read := func() {
			v, err := a.GetOrLoad(t.Context(), "k", load)
			if err != nil {
				results <- err.Error()
				return
			}
			results <- string(v.Bytes)
		}
		go read()
		<-began
		for range readers - 1 {
			go read()
		}
		await(t, "the readers to join", func() bool { return a.Node().Stats().Joined == readers-1 })
		close(finish)
		for range readers {
			if got := <-results; got != "v0" {
				t.Fatalf("read %q", got)
			}
		}
		if n := o.loads.Load(); n != 1 {
			t.Errorf("%d loads for %d readers of one key", n, readers)
		}
	})
}
