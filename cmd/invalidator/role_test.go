package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/test/process"
)

// With the permissions that deploy/nats gives it, an invalidator fences, parks,
// learns of a release and stores dead letters, and can do nothing to a stream.
func TestInvalidatorNeedsNoMoreThanItsRole(t *testing.T) {
	accounts, err := os.ReadFile(filepath.Join("..", "..", "deploy", "nats", "accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(accounts)
	for _, name := range []string{"TERCET_NODE", "TERCET_INVALIDATOR", "TERCET_WARMER", "TERCET_CLI", "NATS_SYS"} {
		text = strings.ReplaceAll(text, "$"+name+"_PASSWORD", "secret")
	}
	server := process.NATS(t, process.ServerConfig(text), process.LoginAs("cli", "secret"))
	as := func(user string) jetstream.JetStream {
		nc, err := nats.Connect(server.URL(), nats.UserInfo(user, "secret"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	cli := as("cli")
	if err := jslog.Create(t.Context(), cli.Conn(), "shop", events.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	if err := invalidator.EnsureStreams(t.Context(), cli, invalidator.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, rules, "version: 1\nrules:\n  - {name: r, match: {type: changed}, keys: 'k:{data.ids[]}', limit: {names_per_minute: 1000, names_per_event: 1}}\n")
	startWorker(t, server.URL(), rules, "--nats-user", "invalidator", "--nats-password", "secret", "--create=false")
	has := fenced(t, cli.Conn(), "shop")
	publish := func(ids string) {
		t.Helper()
		_, err := cli.Publish(t.Context(), "events.changed", []byte(`{"specversion":"1.0","type":"changed","source":"/t","id":"`+ids+`","data":{"ids":[`+ids+`]}}`))
		if err != nil {
			t.Fatal(err)
		}
	}
	waiting := func(l *invalidator.Letters) (n int) {
		t.Helper()
		for _, err := range l.All(t.Context(), invalidator.LetterFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	publish("1")
	await(t, "fence", func() bool { return has("k:1") })
	publish("2,3")
	await(t, "a parked event", func() bool { return waiting(invalidator.ParkedEvents(cli, "r")) == 1 })
	if moved, err := invalidator.Release(t.Context(), cli, "r"); err != nil || moved != 1 {
		t.Fatalf("released %d, %v", moved, err)
	}
	await(t, "fence of the released one", func() bool { return has("k:2") })
	if _, err := cli.Publish(t.Context(), "events.broken", []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	await(t, "a dead letter", func() bool { return waiting(invalidator.DeadLetters(cli)) == 1 })
	if err := as("invalidator").DeleteStream(t.Context(), invalidator.ParkedStream); err == nil {
		t.Error("the invalidator could delete a stream")
	}
}
