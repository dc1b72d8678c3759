package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// Batches through real servers: one pipeline to Redis, one call of the loader,
// one record.
func TestBatches(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.open("a"), f.open("b")
		ctx := t.Context()
		var calls [][]string
		load := func(_ context.Context, keys []string) (map[string]client.Loaded, error) {
			calls = append(calls, slices.Sorted(slices.Values(keys)))
			out := map[string]client.Loaded{}
			for _, k := range keys {
				if !strings.HasPrefix(k, "none") {
					out[k] = client.Loaded{Value: []byte("value of " + k), Tags: []string{"t"}}
				}
			}
			return out, nil
		}
		keys := []string{"none"}
		for i := range 300 {
			keys = append(keys, fmt.Sprint("k", i))
		}
		got, err := a.GetOrLoadMany(ctx, keys, load)
		if err != nil || len(got) != 300 || len(calls) != 1 || len(calls[0]) != 301 {
			t.Fatalf("%d values, %v, %d calls", len(got), err, len(calls))
		}
		// Whoever is asked on a busy machine may answer too late, and a hit is
		// promised by nobody: they come in the end, and not all from a's disk.
		fromRedis := 0
		all := func(c *client.Client) func() bool {
			return func() bool {
				v, err := c.GetMany(ctx, keys)
				for _, x := range v {
					if x.Source == "redis" {
						fromRedis++
					}
				}
				return err == nil && len(v) == 300
			}
		}
		await(t, "what a loaded to be shared", all(b))
		fromRedis = 0
		await(t, "a new member to have it all", all(f.open("c")))
		if fromRedis == 0 {
			t.Error("a new member got nothing from Redis")
		}

		products := client.For[Product](a)
		token, err := products.SetMany(ctx, map[string]Product{"p1": {Name: "boots"}, "p2": {Name: "socks"}}, client.Tags("t"))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := client.For[Product](b).GetOrLoadMany(ctx, []string{"p1", "p2", "p3", "none"}, func(_ context.Context, keys []string) (map[string]client.Row[Product], error) {
			return map[string]client.Row[Product]{"p3": {Value: Product{Name: "hat"}}, "none": {Answer: client.Answer{NotFound: true, Tags: []string{"t"}}}}, nil
		}, client.At(client.Session(token)))
		if err != nil || len(rows) != 3 || rows["p1"].Name != "boots" || rows["p3"].Name != "hat" {
			t.Fatalf("%v, %v", rows, err)
		}

		if _, err := a.InvalidateMany(ctx, []client.Invalidation{{Keys: []string{"p3"}}, {Tags: []string{"t"}}}, client.Everywhere()); err != nil {
			t.Fatal(err)
		}
		if v, err := client.For[Product](b).GetMany(ctx, append(keys, "p1", "p2", "p3")); err != nil || len(v) != 0 {
			t.Fatalf("%d values live behind the fences, %v", len(v), err)
		}

		down := errors.New("down")
		_, err = a.GetOrLoadMany(ctx, []string{"x", "y"}, func(context.Context, []string) (map[string]client.Loaded, error) { return nil, down })
		var failed *client.BatchError
		if !errors.As(err, &failed) || len(failed.Errors) != 2 || !errors.Is(err, down) || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%v, want an error for each of both keys", err)
		}
	})
}

// A client with an origin loads what a batch misses, and says which keys failed.
func TestBatchesWithAnOrigin(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		down := errors.New("down")
		a := f.open("a", func(c *client.Config) {
			c.Origin = func(_ context.Context, key string) (client.Loaded, error) {
				switch key {
				case "bad":
					return client.Loaded{}, down
				case "none":
					return client.Loaded{NotFound: true}, nil
				}
				return client.Loaded{Value: []byte("value of " + key)}, nil
			}
		})
		got, err := a.GetMany(t.Context(), []string{"x", "bad", "none", "y"})
		var failed *client.BatchError
		if !errors.As(err, &failed) || len(failed.Errors) != 1 || !errors.Is(failed.Errors["bad"], down) || len(got) != 2 || string(got["y"].Bytes) != "value of y" {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// RequiredSource travels from an invalidation on one node to a loader on
// another.
func TestRequiredSource(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.open("a"), f.open("b")
		token, err := a.Invalidate(t.Context(), client.Invalidation{Keys: []string{"k"}, Source: "16/B374D848"})
		if err != nil {
			t.Fatal(err)
		}
		var told string
		if _, err := b.GetOrLoad(t.Context(), "k", func(ctx context.Context, _ string) (client.Loaded, error) {
			told, _ = client.RequiredSource(ctx)
			return client.Loaded{}, nil
		}, client.At(client.Session(token))); err != nil || told != "16/B374D848" {
			t.Errorf("told %q, %v", told, err)
		}
	})
}

// A value behind a soft fence answers, marked, while the origin is down.
func TestFallback(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.open("a")
		ctx := t.Context()
		if _, err := a.Set(ctx, "k", []byte("old")); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Invalidate(ctx, client.Invalidation{Keys: []string{"k"}, Soft: true}); err != nil {
			t.Fatal(err)
		}
		down := func(context.Context, string) (client.Loaded, error) { return client.Loaded{}, errors.New("down") }
		if v, err := a.GetOrLoad(ctx, "k", down, client.Fallback(client.IfOriginFails)); err != nil || !v.Stale || string(v.Bytes) != "old" {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := a.GetOrLoad(ctx, "k", down); err == nil {
			t.Error("a read that allows no fallback got one")
		}
	})
}

// G10: ten members miss batches that overlap, with Redis and without, and each
// key is loaded once.
func TestBatchesLoadOnceInTheFleet(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		const members, size, apart = 10, 40, 15
		var cs []*client.Client
		for i := range members {
			cs = append(cs, f.open(fmt.Sprint("m", i), func(c *client.Config) {
				c.Settings.Lease = 15 * time.Second // ten members share this machine's few cores
			}))
		}
		for _, c := range cs {
			await(t, "everybody to know everybody", func() bool { return len(c.Node().Members()) == members })
		}
		for _, with := range []string{"redis", "owners"} {
			if with == "owners" {
				f.redis.Kill()
			}
			var mu sync.Mutex
			loads := map[string]int{}
			load := func(_ context.Context, keys []string) (map[string]client.Loaded, error) {
				found := map[string]client.Loaded{}
				mu.Lock()
				defer mu.Unlock()
				for _, k := range keys {
					loads[k]++
					found[k] = client.Loaded{Value: []byte(k)}
				}
				return found, nil
			}
			var all sync.WaitGroup
			for i, c := range cs {
				all.Go(func() {
					var keys []string
					for k := range size {
						keys = append(keys, fmt.Sprintf("%s:%d", with, i*apart+k))
					}
					got, err := c.GetOrLoadMany(t.Context(), keys, load)
					if err != nil || len(got) != size {
						t.Errorf("%d of %d values, %v", len(got), size, err)
					}
				})
			}
			all.Wait()
			again := 0
			for _, n := range loads {
				again += n - 1
			}
			if want := (members-1)*apart + size; len(loads) != want || again != 0 {
				t.Errorf("with %s: %d keys loaded, want %d; %d loads too many", with, len(loads), want, again)
			}
		}
	})
}
