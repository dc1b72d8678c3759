package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// Without a directory the third tier is in memory: there while the process is.
func TestDiskTierInMemory(t *testing.T) {
	f := &fleet{t: t, nats: process.NATS(t), dir: t.TempDir()}
	none := func(c *client.Config) { c.DataDir, c.L3Size, c.Replication = "", 8<<20, -1 }
	a := f.open("a", none)
	if _, err := a.GetOrLoad(t.Context(), "k", answer("loaded")); err != nil {
		t.Fatal(err)
	}
	fromDisk(t, a, "k", "loaded")
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, f.open("a", none), "k"); got != "" {
		t.Fatalf("%q has outlived the process", got)
	}
}

// Each tier of a member can be taken out of use and back while it runs.
func TestSwitchingTiers(t *testing.T) {
	f := newFleet(t)
	a, b := f.open("a"), f.open("b", func(c *client.Config) { c.TiersOff = []string{client.TierMemory, client.TierDisk} })
	token, err := a.Set(t.Context(), "k", []byte("v1"))
	if err != nil {
		t.Fatal(err)
	}
	read := func(want, source string) {
		t.Helper()
		v, err := b.Get(t.Context(), "k", client.At(client.Session(token)))
		if err != nil || string(v.Bytes) != want || v.Source != source {
			t.Fatalf("%q from %s, %v; want %q from %s", v.Bytes, v.Source, err, want, source)
		}
	}
	read("v1", client.TierRedis)
	if err := errors.Join(b.SwitchOff(client.TierRedis), b.SwitchOff(client.TierOwner), b.SwitchOn(client.TierMemory), b.SwitchOn(client.TierDisk)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("%v, want nothing: what was put while its tiers were off is nowhere", err)
	}
	if token, err = a.Set(t.Context(), "k", []byte("v2")); err != nil {
		t.Fatal(err)
	}
	read("v2", client.TierDisk)
	if err := b.SwitchOff("tape"); !errors.Is(err, client.ErrInvalid) {
		t.Fatalf("%v, want ErrInvalid", err)
	}
	var states []string
	for _, s := range b.Tiers() {
		if s.Present && s.On {
			states = append(states, s.Name)
		}
	}
	if got := strings.Join(states, " "); got != "memory disk" {
		t.Fatalf("in use: %s", got)
	}
}

// An origin with a gate of its own is asked for no more at once than it bears,
// however many loaders it has, and leaves the others' places alone.
func TestGateOfAnOrigin(t *testing.T) {
	f := &fleet{t: t, nats: process.NATS(t), dir: t.TempDir()}
	a := f.open("a")
	gate := client.NewGate(client.Limits{AtOnce: 1, Queue: -1})
	entered, release := make(chan struct{}), make(chan struct{})
	slow := gate.Loader(func(ctx context.Context, key string) (client.Loaded, error) {
		close(entered)
		<-release
		return client.Loaded{Value: []byte("slow")}, nil
	})
	done := make(chan error, 1)
	go func() {
		_, err := a.GetOrLoad(context.Background(), "slow", slow)
		done <- err
	}()
	<-entered
	_, err := a.GetOrLoad(t.Context(), "other", gate.Loader(answer("v")))
	var full *client.Overload
	if !errors.As(err, &full) || !errors.Is(err, client.ErrOverloaded) || full.Running != 1 {
		t.Fatalf("%v, want an Overload", err)
	}
	many := gate.BatchLoader(func(context.Context, []string) (map[string]client.Loaded, error) { return nil, nil })
	if _, err := a.GetOrLoadMany(t.Context(), []string{"x", "y"}, many); !errors.Is(err, client.ErrOverloaded) {
		t.Fatalf("a batch: %v", err)
	}
	if v, err := a.GetOrLoad(t.Context(), "elsewhere", answer("v")); err != nil || string(v.Bytes) != "v" {
		t.Fatalf("another origin: %q, %v", v.Bytes, err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := gate.Stats(); s.Shed != 2 || s.Running != 0 {
		t.Fatalf("%+v", s)
	}
}
