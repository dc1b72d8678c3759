package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// fleet is a domain with real servers and a few nodes in this process.
type fleet struct {
	t     *testing.T
	nats  *process.NATSServer
	redis *process.RedisServer
	dir   string
	// partitions of the domain's log; 0 means one.
	partitions int
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, nats: process.NATS(t), redis: process.Redis(t), dir: t.TempDir()}
}

// inDomains runs a test in domains of one, three and eight partitions, each on
// servers of its own.
func inDomains(t *testing.T, test func(t *testing.T, f *fleet)) {
	for _, n := range []int{1, 3, 8} {
		t.Run(fmt.Sprintf("%d partitions", n), func(t *testing.T) {
			f := newFleet(t)
			f.partitions = n
			test(t, f)
		})
	}
}

// home is the partition of key k, which most tests are about.
func (f *fleet) home() int { return node.Partition("k", max(1, f.partitions)) }

// near returns the first of name, name0, name1, … that lies in k's partition.
func (f *fleet) near(name string) string {
	key := name
	for i := 0; node.Partition(key, max(1, f.partitions)) != f.home(); i++ {
		key = fmt.Sprint(name, i)
	}
	return key
}

// patient is the bound of an operation on Redis where no fault of it is played.
const patient = 5 * time.Second

func (f *fleet) config(name string) client.Config {
	s := client.DefaultSettings()
	s.Lease = 2 * time.Second
	s.Partitions = max(1, f.partitions)
	redis := ""
	if f.redis != nil {
		redis = f.redis.URL()
	}
	return client.Config{
		Domain: "shop", NATSURL: f.nats.URL(), RedisURL: redis,
		DataDir: filepath.Join(f.dir, name), NodeID: name, L1Size: 8 << 20,
		Create: true, Settings: &s,
		RedisTimeout: patient, // the machine is busy, Redis is not away
		Logger:       slog.New(slog.NewTextHandler(testWriter{f.t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Helper()
	fmt.Fprint(os.Stderr, string(b))
	return len(b), nil
}

func (f *fleet) open(name string, change ...func(*client.Config)) *client.Client {
	f.t.Helper()
	cfg := f.config(name)
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	c, err := client.Open(ctx, cfg)
	if err != nil {
		f.t.Fatalf("open %s: %v", name, err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			f.t.Errorf("close %s: %v", name, err)
		}
	})
	return c
}

// origin is a truth with a version per key.
type origin struct{ n, loads atomic.Int64 }

func (o *origin) load(tags ...string) client.Loader {
	return func(context.Context, string) (client.Loaded, error) {
		o.loads.Add(1)
		return client.Loaded{Value: fmt.Appendf(nil, "v%d", o.n.Load()), Tags: tags}, nil
	}
}

func get(t *testing.T, c *client.Client, key string, opts ...client.ReadOption) string {
	t.Helper()
	v, err := c.Get(t.Context(), key, opts...)
	if errors.Is(err, client.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return string(v.Bytes)
}

func TestThreeNodesAgree(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b, c := f.open("a"), f.open("b"), f.open("c")
		ctx := t.Context()
		token, err := a.Set(ctx, "product:17:detail", []byte("shoes"), client.Tags("category:3"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []*client.Client{a, b, c} {
			if got := get(t, n, "product:17:detail", client.At(client.Session(token))); got != "shoes" {
				t.Fatalf("read %q, want shoes", got)
			}
		}
		for _, i := range []client.Invalidation{
			{Keys: []string{"product:17:detail"}},
			{Tags: []string{"category:3"}},
			{Prefixes: []string{"product:17:"}},
			{Globs: []string{"product:*:detail"}},
			{All: true},
		} {
			if token, err = b.Set(ctx, "product:17:detail", []byte("shoes"), client.Tags("category:3")); err != nil {
				t.Fatal(err)
			}
			for _, n := range []*client.Client{a, b, c} {
				if got := get(t, n, "product:17:detail", client.At(client.Session(token))); got != "shoes" {
					t.Fatalf("%+v: read %q before, want shoes", i, got)
				}
			}
			began := time.Now()
			if token, err = c.Invalidate(ctx, i); err != nil {
				t.Fatal(err)
			}
			for _, n := range []*client.Client{a, b, c} {
				if got := get(t, n, "product:17:detail", client.At(client.Session(token))); got != "" {
					t.Fatalf("%+v: read %q after, want nothing", i, got)
				}
			}
			t.Logf("%+v: gone on three nodes after %v", i, time.Since(began))
		}
	})
}
