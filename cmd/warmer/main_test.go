package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the command until the test ends.
func start(t *testing.T, args ...string) {
	t.Helper()
	cmd := config.Command(config.ForWarmer, "warmer", "", "", run)
	cmd.SetArgs(args)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("warmer ended with %v", err)
		}
	})
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 30s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func page(url string) string {
	res, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// TestAHotKeyIsWarmAgainBeforeAnyoneAsks: a node reads a key and reports it;
// the key is invalidated, and without another read its new value is there.
func TestAHotKeyIsWarmAgainBeforeAnyoneAsks(t *testing.T) {
	server, redis := process.NATS(t), process.Redis(t)
	var version atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/values/hot" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		fmt.Fprintf(w, "version %d", version.Load())
	}))
	t.Cleanup(origin.Close)
	defer http.DefaultClient.CloseIdleConnections()

	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := events.DefaultSettings()
	s.Lease = 3 * time.Second
	if err := jslog.Create(ctx, nc, "shop", s); err != nil {
		t.Fatal(err)
	}
	reader, err := client.Open(ctx, client.Config{Domain: "shop", Conn: nc, RedisURL: redis.URL(), NodeID: "reader", AccessSample: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close(context.Background()) })

	addr := fmt.Sprintf("127.0.0.1:%d", process.FreePort(t))
	start(t, "--domain", "shop", "--nats-url", server.URL(), "--redis-url", redis.URL(), "--data-dir", t.TempDir(),
		"--node-id", "warmer", "--warmer-origin", origin.URL+"/values/{key}", "--http-addr", addr, "--log-level", "warn")
	await(t, "readiness", func() bool { return strings.HasPrefix(page("http://"+addr+"/readyz"), "ready") })

	read := func() string {
		v, err := reader.Get(ctx, "hot") // never loads: the reader has no origin
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			t.Fatal(err)
		}
		return string(v.Bytes)
	}
	await(t, "hot key known to the warmer", func() bool {
		for range 100 { // two polls suffice for a rate that counts as hot
			read()
		}
		for line := range strings.Lines(page("http://" + addr + "/metrics")) {
			var n int
			if _, err := fmt.Sscanf(line, "tercet_warmer_summaries_total %d", &n); err == nil {
				return n >= 2
			}
		}
		return false
	})
	version.Store(2)
	if _, err := reader.Delete(ctx, "hot"); err != nil {
		t.Fatal(err)
	}
	await(t, "warm value", func() bool { return read() == "version 2" })
	// The copy is there a moment before the request is done.
	await(t, "the reload to be counted", func() bool {
		return strings.Contains(page("http://"+addr+"/metrics"), "\ntercet_warming_reloads_total 1\n")
	})
}

func TestAMissingDomainIsSaid(t *testing.T) {
	server := process.NATS(t)
	cmd := config.Command(config.ForWarmer, "warmer", "", "", run)
	cmd.SetArgs([]string{"--domain", "nowhere", "--nats-url", server.URL()})
	if err := cmd.ExecuteContext(t.Context()); !errors.Is(err, events.ErrNoDomain) || !strings.Contains(err.Error(), "tercet domain create nowhere") {
		t.Error(err)
	}
}
