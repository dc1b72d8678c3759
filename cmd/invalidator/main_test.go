package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/test/process"
)

func TestMain(m *testing.M) {
	if os.Getenv(processEnv) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
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

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const ruleText = `version: 1
rules:
  - name: changed
    match: {type: shop.changed}
    keys: ["%s:{data.id}"]
`

// fenced follows a domain's log and returns a function that tells whether a
// key was fenced.
func fenced(t *testing.T, nc *nats.Conn, domain string) func(string) bool {
	t.Helper()
	d, err := jslog.Open(t.Context(), nc, domain)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	keys := map[string]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = d.Log(0).Follow(ctx, events.Mark{}, func(all []events.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range all {
				r, err := events.DecodeRecord(m.Data)
				if err != nil {
					return err
				}
				for _, c := range r.Changes {
					if c, ok := c.(*events.Invalidate); ok {
						for _, k := range c.Scope.Keys {
							keys[k] = true
						}
					}
				}
			}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-done; d.Close() })
	return func(key string) bool {
		mu.Lock()
		defer mu.Unlock()
		return keys[key]
	}
}

func TestEventsBecomeFencesAndRulesAreReadAgain(t *testing.T) {
	server := process.NATS(t)
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, fmt.Sprintf(ruleText, "old"))
	addr := fmt.Sprintf("127.0.0.1:%d", process.FreePort(t))
	cmd := config.Command(config.ForInvalidator, "invalidator", "", "", run)
	cmd.SetArgs([]string{"--domain", "shop", "--create", "--nats-url", server.URL(), "--rules", file, "--http-addr", addr, "--log-level", "error"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("invalidator ended with %v", err)
		}
	})
	get := func(path string) string {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			return ""
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	defer http.DefaultClient.CloseIdleConnections()
	await(t, "readiness", func() bool { return strings.HasPrefix(get("/readyz"), "ready") })
	has := fenced(t, nc, "shop")
	n := 0
	publish := func() string {
		n++
		id := fmt.Sprint(n)
		_, err := js.Publish(t.Context(), "events.shop.changed", fmt.Appendf(nil,
			`{"specversion":"1.0","type":"shop.changed","source":"/t","id":"%s","data":{"id":"%s"}}`, id, id))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	id := publish()
	await(t, "fence", func() bool { return has("old:" + id) })
	if m := get("/metrics"); !strings.Contains(m, `tercet_invalidator_rule_matches_total{rule="changed"} 1`) {
		t.Errorf("metrics:\n%s", m)
	}

	write(t, file, "version: 1\nrules: nonsense\n") // stays out of force
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "note of the refusal", func() bool {
		return strings.Contains(get("/readyz"), "earlier rules stay in force: "+file+":2:8") &&
			strings.Contains(get("/metrics"), "tercet_invalidator_rules_refused 1")
	})
	id = publish()
	await(t, "fence by the old rules", func() bool { return has("old:" + id) })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await(t, "note of the missing file", func() bool { return strings.Contains(get("/readyz"), "earlier rules stay in force: read rules") })

	// The door for events over HTTP.
	post := func(path, body string) int {
		res, err := http.Post("http://"+addr+path, "application/cloudevents-batch+json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if code := post("/v1/shop/events", `[{"specversion":"1.0","type":"shop.changed","source":"/t","id":"p1","data":{"id":"p1"}},
		{"specversion":"1.0","type":"shop.changed","source":"/t","id":"p2","data":{"id":"p2"}}]`); code != http.StatusAccepted {
		t.Errorf("events over HTTP: %d", code)
	}
	if code := post("/v1/other/events", `[]`); code != http.StatusNotFound {
		t.Errorf("a domain without rules: %d", code)
	}
	await(t, "fences of the events", func() bool { return has("old:p1") && has("old:p2") })

	write(t, file, fmt.Sprintf(ruleText, "new"))
	await(t, "fence by the new rules", func() bool { return has("new:" + publish()) })
	await(t, "readiness without notes", func() bool { return get("/readyz") == "ready\n" })
}

func TestWatch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, "a")
	f := ruleFiles{paths: []string{file}, every: time.Millisecond}
	adopted := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- f.watch(ctx, []string{"a"}, slog.New(slog.DiscardHandler), func(_ context.Context, texts []string) error {
			adopted <- texts[0]
			return errors.New("refused") // and asked for once per version all the same
		})
	}()
	for _, version := range []string{"b", "c", "b"} {
		next := file + ".next"
		write(t, next, version)
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
		if got := <-adopted; got != version {
			t.Errorf("adopted %q, want %q", got, version)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, file+".next", "d")
	if err := os.Rename(file+".next", file); err != nil {
		t.Fatal(err)
	}
	if got := <-adopted; got != "d" {
		t.Errorf("after a time without a file: %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTwoFilesMakeOneSet(t *testing.T) {
	f := ruleFiles{paths: []string{"a.yaml", "b.yaml"}, domain: "shop"}
	a := fmt.Sprintf(ruleText, "a")
	set, err := f.parse([]string{a, strings.Replace(a, "name: changed", "name: other", 1)})
	if err != nil || set.Len() != 2 || !slices.Equal(set.Domains(), []string{"shop"}) {
		t.Fatal(err)
	}
	if _, err := f.parse([]string{a, a}); !errors.Is(err, rules.ErrInvalid) {
		t.Errorf("two rules of one name: %v", err)
	}
}

func TestConfigurationThatCanNotWork(t *testing.T) {
	cmd := config.Command(config.ForInvalidator, "invalidator", "", "", run)
	cmd.SetArgs([]string{"--domain", "shop", "--nats-url", "nats://127.0.0.1:1", "--rules", "/does/not/exist"})
	if err := cmd.ExecuteContext(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
