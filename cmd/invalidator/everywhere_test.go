package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// An event of a rule that says everywhere counts as done only once no node
// serves what it kills, at any level.
func TestEverywhereIsDoneWhenNobodyServesIt(t *testing.T) {
	server := process.NATS(t)
	js := connected(t, server.URL())
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, rules, "version: 1\nrules:\n  - {name: r, match: {type: changed}, keys: 'k:{data.id}', everywhere: true}\n")
	startWorker(t, server.URL(), rules, "--lease", "1s")
	await(t, "the streams", func() bool {
		_, err := js.Consumer(t.Context(), invalidator.DefaultStream, "invalidator")
		return err == nil
	})
	var nodes []*client.Client
	for n := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c, err := client.Open(ctx, client.Config{Domain: "shop", NATSURL: server.URL(), NodeID: fmt.Sprint("n", n), L1Size: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.WithoutCancel(ctx))
		nodes = append(nodes, c)
	}
	consumer, err := js.Consumer(t.Context(), invalidator.DefaultStream, "invalidator")
	if err != nil {
		t.Fatal(err)
	}
	for id := range 10 {
		key := fmt.Sprint("k:", id)
		for _, c := range nodes {
			if _, err := c.GetOrLoad(t.Context(), key, func(context.Context, string) (client.Loaded, error) { return client.Loaded{Value: []byte("old")}, nil }); err != nil {
				t.Fatal(err)
			}
		}
		event, err := js.Publish(t.Context(), "events.changed", fmt.Appendf(nil, `{"specversion":"1.0","type":"changed","source":"/t","id":"%d","data":{"id":%d}}`, id, id))
		if err != nil {
			t.Fatal(err)
		}
		// What is pending would not do: a consumer hears of an event after its
		// publisher.
		await(t, "acknowledgement", func() bool {
			info, err := consumer.Info(t.Context())
			return err == nil && info.AckFloor.Stream >= event.Sequence
		})
		for n, c := range nodes {
			if v, err := c.Get(t.Context(), key, client.At(client.Eventual())); err == nil {
				t.Errorf("node %d serves %s of %s", n, v.Bytes, key)
			}
		}
	}
}
