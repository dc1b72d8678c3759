package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(workerEnv); text != "" {
		fmt.Fprintln(os.Stderr, beWorker(text))
		os.Exit(1)
	}
	// The embedded server leaves a goroutine that looks at the machine's load.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/pse.periodic"))
}

const domain = "shop"

// shop is a domain on a server of its own.
type shop struct {
	t     *testing.T
	nc    *nats.Conn
	redis string // where it keeps copies and the witness; empty: nowhere
}

func newShop(t *testing.T, settings events.Settings) *shop {
	return newShopAt(t, process.NATS(t).URL(), settings)
}

func newShopAt(t *testing.T, url string, settings events.Settings) *shop {
	t.Helper()
	s := &shop{t: t}
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s.nc = nc
	if err := jslog.Create(t.Context(), nc, domain, settings); err != nil {
		t.Fatal(err)
	}
	return s
}

// join returns a node with an empty disk.
func (s *shop) join(name string) *client.Client {
	s.t.Helper()
	c, err := client.Open(s.t.Context(), client.Config{
		Domain: domain, NATSURL: s.nc.ConnectedUrl(), RedisURL: s.redis, NodeID: name, L1Size: 1 << 20, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func put(t *testing.T, c *client.Client, key, value string) {
	t.Helper()
	if _, err := c.Set(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *client.Client, key string) string {
	t.Helper()
	v, err := c.Get(t.Context(), key)
	if errors.Is(err, client.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Bytes)
}

func short(partitions int) events.Settings {
	s := events.DefaultSettings()
	s.Lease, s.Partitions = 3*time.Second, partitions
	return s
}

// A value that was fenced after the backup stays dead, for nodes that saw the
// fence and for those that never did (G6); and the fleet goes on (G8).
func TestRestoredLogKeepsTheDeadDead(t *testing.T) {
	s := newShop(t, short(2))
	old := s.join("old")
	for i := range 200 {
		put(t, old, fmt.Sprint("key:", i), strings.Repeat("v", i))
	}
	dir := filepath.Join(t.TempDir(), "backup")
	m, err := Take(t.Context(), s.nc, domain, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Domain != domain || len(m.Logs) != 2 || m.Logs[0].Last < 20 || m.Logs[0].First != 1 || m.Logs[0].Bytes == 0 {
		t.Errorf("%+v", m)
	}
	// What comes now, the backup does not know.
	if _, err := old.Invalidate(t.Context(), client.Invalidation{All: true}); err != nil {
		t.Fatal(err)
	}
	put(t, old, "late", "lost")
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	_, done, err := Restore(t.Context(), s.nc, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range done {
		if r.Last != m.Logs[i].Last || r.Epoch != r.Last+1 {
			t.Errorf("restored %+v, the backup ends at %d", r, m.Logs[i].Last)
		}
	}
	young := s.join("young")
	for i := range 200 {
		if v := get(t, young, fmt.Sprint("key:", i)); v != "" {
			t.Fatalf("key:%d lives again: %d bytes", i, len(v))
		}
	}
	put(t, young, "new", "value")
	if v := get(t, young, "new"); v != "value" {
		t.Errorf("%q", v)
	}
}

// A node that is there all the while notices, drops what it had, and goes on with
// the domain that came back.
func TestRestoreUnderARunningNode(t *testing.T) {
	t.Run("alone", func(t *testing.T) { restoreUnderANode(t, "") })
	t.Run("with a witness", func(t *testing.T) { restoreUnderANode(t, process.Redis(t).URL()) })
}

func restoreUnderANode(t *testing.T, redis string) {
	s := newShop(t, short(1))
	s.redis = redis
	n := s.join("node")
	put(t, n, "a", "1")
	dir := t.TempDir()
	if _, err := Take(t.Context(), s.nc, domain, dir, nil); err != nil {
		t.Fatal(err)
	}
	put(t, n, "a", "2")
	before := n.Node().Epoch("a")
	if _, _, err := Restore(t.Context(), s.nc, dir, true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n.Node().Epoch("a") == before || n.Node().Epoch("a") == 0 || n.Node().Serving() != nil {
		select {
		case <-ctx.Done():
			t.Fatalf("epoch %v, serving: %v", n.Node().Epoch("a"), n.Node().Serving())
		case <-time.After(20 * time.Millisecond):
		}
		if v, err := n.Get(ctx, "a", client.At(client.Eventual())); err == nil && string(v.Bytes) == "1" {
			t.Fatal("the backup's value is back")
		}
	}
	if v := get(t, n, "a"); v == "1" {
		t.Error("the backup's value is back")
	}
	put(t, n, "a", "3")
	if v := get(t, n, "a"); v != "3" {
		t.Errorf("%q", v)
	}
}

// Restored twice, a log has two epochs: copies born after the first restore are
// void after the second.
func TestEveryRestoreOpensAnEpoch(t *testing.T) {
	s := newShop(t, short(1))
	dir := t.TempDir()
	if _, err := Take(t.Context(), s.nc, domain, dir, nil); err != nil {
		t.Fatal(err)
	}
	var last events.Epoch
	for range 2 {
		if _, _, err := Restore(t.Context(), s.nc, dir, true); err != nil {
			t.Fatal(err)
		}
		n := s.join("n")
		if e := n.Node().Epoch("k"); e == last || e == 0 {
			t.Errorf("epoch %v after %v", e, last)
		} else {
			last = e
		}
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A log of three replicas passes through one server and is of three again.
func TestRestoreIntoACluster(t *testing.T) {
	settings := short(1)
	settings.Replicas = 3
	s := newShopAt(t, process.ClusterURL(process.NATSCluster(t, 3)), settings)
	dir := t.TempDir()
	if _, err := Take(t.Context(), s.nc, domain, dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Restore(t.Context(), s.nc, dir, true); err != nil {
		t.Fatal(err)
	}
	n := s.join("n")
	put(t, n, "k", "v")
	if v := get(t, n, "k"); v != "v" {
		t.Errorf("%q", v)
	}
}

func TestRestoreRefuses(t *testing.T) {
	s := newShop(t, short(1))
	dir := t.TempDir()
	if _, err := Take(t.Context(), s.nc, domain, dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), s.nc, domain, dir, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second backup in its place: %v", err)
	}
	if _, err := Take(t.Context(), s.nc, "other", t.TempDir(), nil); !errors.Is(err, events.ErrNoDomain) {
		t.Errorf("a domain that is not there: %v", err)
	}
	refused := func(name string, want error) {
		t.Helper()
		if _, _, err := Restore(t.Context(), s.nc, dir, name != "there"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		// Nothing was touched.
		if d, err := jslog.Open(t.Context(), s.nc, domain); err != nil {
			t.Errorf("%s: the domain is gone: %v", name, err)
		} else {
			d.Close()
		}
	}
	refused("there", ErrExists)
	spoil := func(name, file string, change func([]byte) []byte) {
		t.Helper()
		path := filepath.Join(dir, file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b := change(bytes.Clone(whole)); b == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		refused(name, ErrUnusable)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil("a byte", "log-0.snapshot", func(b []byte) []byte { b[len(b)/2]++; return b })
	spoil("cut short", "log-0.snapshot", func(b []byte) []byte { return b[:len(b)-1] })
	spoil("no log", "log-0.snapshot", func([]byte) []byte { return nil })
	spoil("no manifest", manifestName, func([]byte) []byte { return nil })
	spoil("a torn manifest", manifestName, func(b []byte) []byte { return b[:len(b)/2] })
	spoil("a later version", manifestName, func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"tercet_backup": 1`), []byte(`"tercet_backup": 2`), 1)
	})
}
