package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
	"github.com/raptorflow/tercet/test/process"
)

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 10s", what)
		}
	}
}

func mustPut(t *testing.T, tier *Tier, e tiers.Entry) {
	t.Helper()
	if err := tier.Put(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// A server that is stopped in its tracks costs a caller the timeout, soon
// nothing, and is found again.
func TestServerThatDoesNotAnswer(t *testing.T) {
	server := process.Redis(t)
	tier := open(t, Config{Client: client(t, server.URL()), Breaker: BreakerConfig{Failures: 3, OpenFor: 50 * time.Millisecond}})
	mustPut(t, tier, tiertest.Entry(t, "k", 1, "v"))
	server.Pause()
	await(t, "open breaker", func() bool {
		began := time.Now()
		_, err := tier.Get(t.Context(), "k", nil)
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("get took %v", took)
		}
		if !errors.Is(err, tiers.ErrUnavailable) {
			t.Fatalf("get: %v, want ErrUnavailable", err)
		}
		return tier.Stats().Breaker == "open"
	})
	trips := tier.Stats().Trips
	if err := tier.Put(t.Context(), tiertest.Entry(t, "k", 2, "v")); !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("put: %v, want ErrUnavailable", err)
	}
	if tier.Stats().Trips != trips {
		t.Fatal("an open breaker let a command through")
	}
	server.Resume()
	await(t, "recovery", func() bool {
		_, err := tier.Get(t.Context(), "k", nil)
		return err == nil && tier.Stats().Breaker == "closed"
	})
}

func TestServerThatIsGone(t *testing.T) {
	server := process.Redis(t)
	tier := open(t, Config{Client: client(t, server.URL()), Breaker: BreakerConfig{OpenFor: 20 * time.Millisecond}})
	mustPut(t, tier, tiertest.Entry(t, "k", 1, "v"))
	server.Kill()
	for op, err := range map[string]error{
		"get":    second(tier.Get(t.Context(), "k", nil)),
		"put":    tier.Put(t.Context(), tiertest.Entry(t, "k", 2, "v")),
		"remove": tier.Remove(t.Context(), "k"),
		"clear":  tier.Clear(t.Context()),
		"raise":  second(tier.RaiseWitness(t.Context(), 0, Witness{}, Witness{Epoch: 1})),
		"read":   second(tier.ReadWitness(t.Context(), 0)),
	} {
		if !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", op, err)
		}
	}
	server.Restart()
	// The new server has never seen the scripts.
	await(t, "recovery", func() bool { return tier.Put(t.Context(), tiertest.Entry(t, "k", 1, "again")) == nil })
	if e, err := tier.Get(t.Context(), "k", nil); err != nil || string(e.Payload()) != "again" {
		t.Fatalf("get: %q, %v", e, err)
	}
}

func second[T any](_ T, err error) error { return err }

// Row 36: a server replaced by an older copy of itself brings back what was
// there, under its old birth and not under a newer one: readers judge it.
func TestRolledBackServerKeepsBirths(t *testing.T) {
	server := process.Redis(t)
	tier := open(t, Config{Client: client(t, server.URL()), Breaker: BreakerConfig{OpenFor: 20 * time.Millisecond}})
	mustPut(t, tier, tiertest.Entry(t, "k", 5, "old"))
	file := server.SaveCopy()
	mustPut(t, tier, tiertest.Entry(t, "k", 9, "new"))
	server.ReplaceWith(file)
	await(t, "recovery", func() bool {
		e, err := tier.Get(t.Context(), "k", nil)
		return err == nil && e.Birth() == 5 && string(e.Payload()) == "old"
	})
}

// Callers that can't be let in are turned away at once; those inside leave
// with their context.
func TestBulkhead(t *testing.T) {
	server := process.Redis(t)
	tier := open(t, Config{Client: client(t, server.URL()), MaxInFlight: 8, Timeout: 5 * time.Second, Lanes: 1})
	mustPut(t, tier, tiertest.Entry(t, "k", 1, "v"))
	server.Pause()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := tier.Get(ctx, "k", nil); err != nil && !errors.Is(err, tiers.ErrUnavailable) {
				t.Errorf("get: %v", err)
			}
		})
	}
	await(t, "full house", func() bool { return tier.Stats().Inside == 8 })
	began := time.Now()
	if _, err := tier.Get(t.Context(), "k", nil); !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("get into a full house: %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Fatalf("turned away after %v", took)
	}
	if tier.Stats().TurnedAway != 1 {
		t.Fatalf("stats %+v", tier.Stats())
	}
	cancel()
	// All leave but the one whose command is on the wire.
	await(t, "leaving", func() bool { return tier.Stats().Inside <= 1 })
	server.Resume()
	wg.Wait()
	if e, err := tier.Get(t.Context(), "k", nil); err != nil || string(e.Payload()) != "v" {
		t.Fatalf("get afterwards: %q, %v", e, err)
	}
	if tier.Stats().Breaker != "closed" {
		t.Fatal("callers that left opened the breaker")
	}
}

// Concurrent commands travel together, and everybody gets the own answer, also
// while others leave early.
func TestGathering(t *testing.T) {
	server := process.Redis(t)
	c := client(t, server.URL())
	tier := open(t, Config{Client: c, Timeout: 10 * time.Second})
	for i := range 50 {
		mustPut(t, tier, tiertest.Entry(t, fmt.Sprint("k", i), 1, fmt.Sprint("v", i)))
	}
	before := tier.Stats()
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := range 100 {
				key := fmt.Sprint("k", (w+i)%50)
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				impatient := w%10 == 3
				if impatient {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(i)*5*time.Microsecond)
				}
				if w%10 == 7 {
					// Its caller may leave while it is on the wire, and the
					// entry is the caller's again.
					short, stop := context.WithTimeout(ctx, time.Duration(i)*10*time.Microsecond)
					e := tiertest.Entry(t, key, events.Position(i), strings.Replace(key, "k", "v", 1))
					err := tier.Put(short, e)
					clear(e)
					stop()
					if err != nil && !errors.Is(err, tiers.ErrOutdated) && !errors.Is(err, tiers.ErrUnavailable) {
						t.Errorf("put: %v", err)
					}
				}
				e, err := tier.Get(ctx, key, nil)
				switch {
				case impatient && errors.Is(err, tiers.ErrUnavailable):
				case err != nil:
					t.Errorf("get: %v", err)
				case e.Key() != key || string(e.Payload()) != strings.Replace(key, "k", "v", 1):
					t.Errorf("get %s: %q of %q", key, e.Payload(), e.Key())
				}
				cancel()
			}
		})
	}
	wg.Wait()
	s := tier.Stats()
	trips, commands := s.Trips-before.Trips, s.Commands-before.Commands
	if trips*2 > commands {
		t.Errorf("%d trips for %d commands: nothing was gathered", trips, commands)
	}
	if s.Inside != 0 || len(tier.lanes.queue) != 0 || tier.lanes.free != defaultLanes {
		t.Errorf("left behind: %d inside, %d in the queue, %d lanes free", s.Inside, len(tier.lanes.queue), tier.lanes.free)
	}
}

func TestClearTouchesNothingElse(t *testing.T) {
	server := process.Redis(t)
	c := client(t, server.URL())
	tier, other := open(t, Config{Client: c, Domain: "shop"}), open(t, Config{Client: c, Domain: "shop-2"})
	mustPut(t, tier, tiertest.Entry(t, "k", 1, "v"))
	mustPut(t, other, tiertest.Entry(t, "k", 1, "v"))
	if _, err := tier.RaiseWitness(t.Context(), 0, Witness{}, Witness{Epoch: 1, Position: 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.MSet(t.Context(), "session:1", "x", "tercet:sho", "x", "tercet:shopper:0123456789abcdef:k", "x", "tercet", "x").Err(); err != nil {
		t.Fatal(err)
	}
	older := open(t, Config{Client: c, Epoch: func(string) events.Epoch { return 7 }})
	mustPut(t, older, tiertest.Make(t, tiers.Header{Key: "k", Epoch: 7}, nil))
	if err := tier.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 6 { // four of others', the other domain's entry, the witness
		t.Fatalf("left: %q", left)
	}
	if w, err := tier.ReadWitness(t.Context(), 0); err != nil || w.Position != 1 {
		t.Fatalf("witness after clear: %v, %v", w, err)
	}
}

// A name holds the epoch: what an old history left is out of reach.
func TestEpochsAreApart(t *testing.T) {
	server := process.Redis(t)
	epoch := tiertest.Epoch
	tier := open(t, Config{Client: client(t, server.URL()), Epoch: func(string) events.Epoch { return epoch }})
	old := tiertest.Entry(t, "k", 9, "old history")
	mustPut(t, tier, old)
	epoch++
	if _, err := tier.Get(t.Context(), "k", nil); !errors.Is(err, tiers.ErrMiss) {
		t.Fatalf("get in a new epoch: %v, want a miss", err)
	}
	if err := tier.Put(t.Context(), old); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("put of the old epoch: %v, want ErrOutdated", err)
	}
	// Copied to the new epoch's name by whoever: of another epoch still.
	if err := tier.client.Copy(t.Context(), tier.name(tiertest.Epoch, "k"), tier.name(epoch, "k"), 0, true).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := tier.Get(t.Context(), "k", nil); !errors.Is(err, tiers.ErrMiss) {
		t.Fatalf("get of a copied entry: %v, want a miss", err)
	}
	if tier.Stats().Foreign != 1 {
		t.Fatalf("stats %+v", tier.Stats())
	}
	epoch = 0
	if _, err := tier.Get(t.Context(), "k", nil); !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("get without an epoch: %v, want ErrUnavailable", err)
	}
}

func TestForeignTypeGivesWay(t *testing.T) {
	server := process.Redis(t)
	tier := open(t, Config{Client: client(t, server.URL())})
	list := func(key string) {
		if err := tier.client.LPush(t.Context(), tier.name(tiertest.Epoch, key), "x").Err(); err != nil {
			t.Fatal(err)
		}
	}
	list("a")
	if _, err := tier.Get(t.Context(), "a", nil); !errors.Is(err, tiers.ErrMiss) {
		t.Fatalf("get of a list: %v, want a miss", err)
	}
	if n := tier.client.Exists(t.Context(), tier.name(tiertest.Epoch, "a")).Val(); n != 0 {
		t.Fatal("the list is still there")
	}
	list("b")
	mustPut(t, tier, tiertest.Entry(t, "b", 1, "v"))
	if _, err := tier.Get(t.Context(), "b", nil); err != nil {
		t.Fatal(err)
	}
}

// A server out of memory refuses the new entry; the older one must go.
func TestOutOfMemoryLeavesNoOlderEntry(t *testing.T) {
	server := process.Redis(t, "--maxmemory-policy", "noeviction")
	tier := open(t, Config{Client: client(t, server.URL()), Timeout: 5 * time.Second})
	mustPut(t, tier, tiertest.Entry(t, "k", 1, "older"))
	if err := tier.client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	for range 10 { // more than open the breaker
		if err := tier.Put(t.Context(), tiertest.Entry(t, "k", 2, "newer")); !errors.Is(err, tiers.ErrUnavailable) || !goredis.IsOOMError(err) {
			t.Fatalf("put: %v, want out of memory", err)
		}
	}
	if _, err := tier.Get(t.Context(), "k", nil); !errors.Is(err, tiers.ErrMiss) {
		t.Fatalf("get: %v, want a miss", err)
	}
	if s := tier.Stats(); s.Breaker != "closed" {
		t.Fatalf("a server that answers opened the breaker: %+v", s)
	}
}

func TestServerForgetsWithExpiry(t *testing.T) {
	server := process.Redis(t)
	clock := &tiertest.Clock{}
	clock.Advance(time.Duration(time.Now().UnixMilli()) * time.Millisecond)
	tier := open(t, Config{Client: client(t, server.URL()), Now: clock.Now})
	mustPut(t, tier, tiertest.Make(t, tiers.Header{Key: "k", Epoch: tiertest.Epoch, Expiry: clock.Now().Add(90 * time.Second)}, nil))
	mustPut(t, tier, tiertest.Entry(t, "ever", 1, "v"))
	mustPut(t, tier, tiertest.Make(t, tiers.Header{Key: "far", Epoch: tiertest.Epoch, Expiry: time.UnixMilli(1<<63 - 1)}, nil))
	ttl := func(key string) time.Duration {
		return tier.client.PTTL(t.Context(), tier.name(tiertest.Epoch, key)).Val()
	}
	if d := ttl("k"); d > 90*time.Second || d < 80*time.Second {
		t.Fatalf("time to live %v, want 90s", d)
	}
	if d := ttl("ever"); d != -1 {
		t.Fatalf("time to live %v, want none", d)
	}
	if d := ttl("far"); d < 1000*time.Hour {
		t.Fatalf("time to live %v, want very long", d)
	}
}

func TestMain(m *testing.M) {
	// A closed go-redis pool that had trouble dialling ends its own probe a
	// second later.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
