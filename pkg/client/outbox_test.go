package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/pkg/client"
)

// A service is killed at random instants while it publishes and invalidates,
// and NATS is away in between. Whatever it was told is accepted arrives once it
// is started again: events in their stream, invalidations in every node.
func TestOutboxOutlivesTheServerAndTheProcess(t *testing.T) {
	f := newFleet(t)
	other := f.open("other")
	nc, err := nats.Connect(f.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}})
	if err != nil {
		t.Fatal(err)
	}
	service := memberConfig{Name: "service", NATS: f.nats.URL(), Redis: f.redis.URL(), Outbox: t.TempDir(), Small: true}
	read := func(key, truth string) string {
		v, err := other.GetOrLoad(t.Context(), key, func(context.Context, string) (client.Loaded, error) {
			return client.Loaded{Value: []byte(truth)}, nil
		}, client.At(client.Strong()))
		if err != nil {
			return err.Error()
		}
		return string(v.Bytes)
	}
	accepted := map[string]bool{}
	for round := range 4 {
		m := f.spawn(service)
		m.answer()
		keys := []string{fmt.Sprintf("k:%d:a", round), fmt.Sprintf("k:%d:b", round)}
		for _, key := range keys {
			await(t, "a copy of what was", func() bool { return read(key, "old") == "old" })
		}
		if r := m.do(request{Op: "kill", Key: keys[0]}); r.Err != "" {
			t.Errorf("with a log: %s", r.Err)
		}
		if round%2 == 1 {
			f.nats.Kill()
		}
		n := 20 + rand.IntN(50)
		for i := range n {
			id := fmt.Sprintf("%d-%d", round, i)
			if r := m.do(request{Op: "publish", Key: id}); r.Err != "" {
				t.Fatalf("publish: %s", r.Err)
			}
			accepted[id] = true
		}
		r := m.do(request{Op: "kill", Key: keys[1]})
		if queued := strings.Contains(r.Err, client.ErrQueued.Error()); queued != (round%2 == 1) {
			t.Errorf("round %d: invalidate says %q", round, r.Err)
		}
		m.ask(request{Op: "publish", Key: fmt.Sprintf("%d-last", round)})
		m.kill()
		if round%2 == 1 {
			f.nats.Restart()
			f.nats.AwaitReady()
		}
		if round < 3 {
			continue
		}
		f.spawn(service).answer()
		for r := range 4 {
			for _, of := range []string{"a", "b"} {
				key := fmt.Sprintf("k:%d:%s", r, of)
				await(t, "the death of "+key, func() bool { return read(key, "new") == "new" })
			}
		}
	}
	have := map[string]bool{}
	await(t, "all events", func() bool {
		info, err := stream.Info(t.Context())
		if err != nil {
			return false
		}
		for n := info.State.FirstSeq; n <= info.State.LastSeq; n++ {
			m, err := stream.GetMsg(t.Context(), n)
			if err != nil {
				return false
			}
			var e struct{ ID string }
			if err := json.Unmarshal(m.Data, &e); err != nil {
				t.Fatal(err)
			}
			have[e.ID] = true
		}
		for id := range accepted {
			if !have[id] {
				return false
			}
		}
		return true
	})
}
