package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// keysFenced is a Fencer that remembers keys.
type keysFenced struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (k *keysFenced) Fence(_ context.Context, _ string, fences ...*events.Invalidate) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range fences {
		for _, key := range f.Scope.Keys {
			k.keys[key] = true
		}
	}
	return nil
}

func (k *keysFenced) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.keys)
}

func TestDead(t *testing.T) {
	server := environment(t)
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := invalidator.EnsureStreams(t.Context(), js, invalidator.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	set, err := rules.Parse("test.yaml", []byte(`
domains: [shop]
rules:
  - {name: price, match: {type: price}, keys: "p:{data.id}", limit: {names_per_minute: 2}}
`), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now() // one minute, whatever the clock does
	fencer := &keysFenced{keys: map[string]bool{}}
	inv, err := invalidator.New(invalidator.Deps{JetStream: js, Fencer: fencer, Rules: set}, invalidator.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- inv.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) { // looks at an awaited condition
			if time.Now().After(deadline) {
				t.Fatalf("no %s", what)
			}
		}
	}
	for _, state := range []string{"list", "rules"} {
		must(t, "dead", state)
	}
	must(t, "publish", "--type", "price", "--data", `{"no":1}`)
	eventually("a dead letter", func() bool { return inv.Stats().Acknowledged == 1 })
	for id := range 5 {
		must(t, "publish", "--type", "price", "--data", fmt.Sprintf(`{"id":%d}`, id))
	}
	must(t, "publish", "--type", "price", "--data", `{"no":2}`) // of a parked rule: it waits
	eventually("verdicts", func() bool { return inv.Stats().Acknowledged == 7 })

	var parked, dead []letterView
	for _, of := range []struct {
		into  *[]letterView
		words []string
	}{{&parked, []string{"dead", "list", "--parked", "--json"}}, {&dead, []string{"dead", "list", "--json"}}} {
		if err := json.Unmarshal([]byte(must(t, of.words...)), of.into); err != nil {
			t.Fatal(err)
		}
	}
	if len(parked) != 4 || len(dead) != 1 || dead[0].Field != "data.id" || dead[0].Rule != "price" {
		t.Fatalf("parked %+v, dead %+v", parked, dead)
	}
	if out := must(t, "dead", "rules"); !strings.Contains(out, "price is parked since") {
		t.Errorf("rules: %s", out)
	}
	number := fmt.Sprint(dead[0].Number)
	if out := must(t, "dead", "show", number); !strings.Contains(out, `"no":1`) || !strings.Contains(out, "data.id") {
		t.Errorf("show: %s", out)
	}
	if out := must(t, "dead", "release", "price"); !strings.Contains(out, "4 events") {
		t.Errorf("release: %s", out)
	}
	eventually("fences", func() bool { return fencer.count() == 5 })
	eventually("the letter of what had waited", func() bool { return inv.Stats().DeadLetters == 2 })
	must(t, "dead", "drop", "--reason", "missing", "--newer-than", "1s", "--older-than", "1h") // nothing
	if out := must(t, "dead", "list", "--parked"); !strings.Contains(out, "nothing") {
		t.Errorf("after the release: %s", out)
	}
	must(t, "dead", "retry", "--rule", "price") // fails again, and is put aside again
	eventually("other letters", func() bool { return inv.Stats().DeadLetters == 4 })
	if strings.Contains(must(t, "dead", "list"), "\n"+number+" ") {
		t.Error("the letter that was retried is still there")
	}
	if out := must(t, "dead", "drop", "--all"); !strings.Contains(out, "drop: 2") {
		t.Errorf("drop: %s", out)
	}
	for _, wrong := range [][]string{{"dead", "drop"}, {"dead", "drop", "1", "--all"}, {"dead", "show", "x"}} {
		if _, _, code := cli(t, "", wrong...); code != codeUsage {
			t.Errorf("%q: code %d", wrong, code)
		}
	}
	if _, _, code := cli(t, "", "dead", "show", "99"); code != codeNotFound {
		t.Errorf("a number that no letter has: code %d", code)
	}
}
