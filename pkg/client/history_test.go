package client_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/pkg/client"
)

// G6: Redis replaced under the fleet by an older copy of itself.
func TestRedisRollsBack(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.open("a"), f.open("b")
		ctx := t.Context()
		const keys = 200
		key := func(i int) string { return fmt.Sprintf("product:%d:price", i) }
		for i := range keys {
			if _, err := a.Set(ctx, key(i), []byte("old"), client.Tags(fmt.Sprintf("category:%d", i%4))); err != nil {
				t.Fatal(err)
			}
		}
		dump := f.redis.SaveCopy()
		for i := range keys / 2 { // half get a new value, some of the rest are fenced
			if _, err := a.Set(ctx, key(i), []byte("new")); err != nil {
				t.Fatal(err)
			}
		}
		token, err := a.Invalidate(ctx, client.Invalidation{Tags: []string{"category:1"}, Keys: []string{key(keys - 2)}})
		if err != nil {
			t.Fatal(err)
		}
		f.redis.ReplaceWith(dump)
		// A node that never saw the old values and has nothing but Redis to ask.
		c := f.open("c")
		for _, n := range []*client.Client{a, b, c} {
			for i := range keys {
				got := get(t, n, key(i), client.At(client.Session(token)))
				switch {
				case i < keys/2:
					if got == "old" {
						t.Fatalf("%s: read the overwritten value", key(i))
					}
				case i%4 == 1 || i == keys-2:
					if got != "" {
						t.Fatalf("%s: read %q, which was fenced", key(i), got)
					}
				}
			}
		}
		if s := c.Node().Stats(); s.SharedHits == 0 && s.SharedDead == 0 {
			t.Error("the new node never asked Redis: the test shows nothing")
		}
	})
}

// G8: the log is deleted and made again under the fleet.
func TestLogRecreated(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.open("a"), f.open("b")
		ctx := t.Context()
		if _, err := a.Set(ctx, "k", []byte("from the old log"), client.Tags("t")); err != nil {
			t.Fatal(err)
		}
		if got := get(t, b, "k", client.At(client.Strong())); got != "from the old log" {
			t.Fatalf("read %q", got)
		}
		old := a.Token().At(f.home())
		nc, err := nats.Connect(f.nats.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		settings := a.Node().Settings()
		if err := jslog.Delete(ctx, nc, "shop"); err != nil {
			t.Fatal(err)
		}
		if err := jslog.Create(ctx, nc, "shop", settings); err != nil {
			t.Fatal(err)
		}
		for _, n := range []*client.Client{a, b} {
			await(t, "a new epoch", func() bool {
				p := n.Token().At(f.home())
				return p.Epoch != old.Epoch && p.Epoch != 0 && n.Node().Serving() == nil
			})
			if got := get(t, n, "k", client.At(client.Strong())); got != "" {
				t.Errorf("read %q, which was born in the old log", got)
			}
		}
		await(t, "one epoch for both", func() bool { return a.Token().At(f.home()).Epoch == b.Token().At(f.home()).Epoch })
		token, err := a.Set(ctx, "k", []byte("new"))
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, b, "k", client.At(client.Session(token))); got != "new" {
			t.Errorf("read %q in the new log", got)
		}
		// A session from the old log goes on: everything of today is newer.
		before := client.Token{}.With(f.home(), old)
		if got := get(t, a, "k", client.At(client.Session(before))); got != "new" {
			t.Errorf("read %q with a token from the old log", got)
		}
	})
}

// G6, G8: the log's server comes back with an older copy of its disk, so that
// acknowledged records are gone and their positions will be given away again.
func TestLogRollsBack(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.open("a"), f.open("b")
		ctx := t.Context()
		if _, err := a.Set(ctx, "k", []byte("1")); err != nil {
			t.Fatal(err)
		}
		f.nats.Stop()
		backup := t.TempDir()
		if err := os.CopyFS(backup, os.DirFS(f.nats.Dir())); err != nil {
			t.Fatal(err)
		}
		f.nats.Restart()
		f.nats.AwaitReady()
		await(t, "the nodes to serve again", func() bool { return a.Node().Serving() == nil && b.Node().Serving() == nil })
		for i := range 20 {
			if _, err := a.Set(ctx, "k", fmt.Appendf(nil, "lost %d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if got := get(t, b, "k", client.At(client.Strong())); got != "lost 19" {
			t.Fatalf("read %q", got)
		}
		old := a.Token().At(f.home())

		f.nats.Stop()
		if err := os.RemoveAll(f.nats.Dir()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(f.nats.Dir(), os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		f.nats.Restart()
		f.nats.AwaitReady()
		for _, n := range []*client.Client{a, b} {
			await(t, "a new epoch", func() bool {
				return n.Token().At(f.home()).Epoch != old.Epoch && n.Node().Serving() == nil
			})
			if got := get(t, n, "k", client.At(client.Strong())); got != "" {
				t.Errorf("read %q across a log that rolled back", got)
			}
		}
	})
}

// H3: everyone who had applied the lost tail is gone; only the witness knows.
func TestWitnessOutlivesTheLog(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		ctx := t.Context()
		a := f.open("a")
		if _, err := a.Set(ctx, "k", []byte("1")); err != nil {
			t.Fatal(err)
		}
		epoch := a.Token().At(f.home()).Epoch
		close := func(c *client.Client) {
			if err := c.Close(ctx); err != nil {
				t.Fatal(err)
			}
		}
		close(a)
		f.nats.Stop()
		backup := t.TempDir()
		if err := os.CopyFS(backup, os.DirFS(f.nats.Dir())); err != nil {
			t.Fatal(err)
		}
		f.nats.Restart()
		f.nats.AwaitReady()
		b := f.open("b")
		if _, err := b.Set(ctx, "k", []byte("lost")); err != nil {
			t.Fatal(err)
		}
		close(b)
		f.nats.Stop()
		if err := os.RemoveAll(f.nats.Dir()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(f.nats.Dir(), os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		f.nats.Restart()
		f.nats.AwaitReady()
		// c was never there; the log looks whole to it.
		c := f.open("c")
		if got := c.Token().At(f.home()).Epoch; got == epoch {
			t.Fatal("c serves in the epoch whose tail was lost")
		}
		if got := get(t, c, "k", client.At(client.Strong())); got != "" {
			t.Errorf("read %q", got)
		}
	})
}
