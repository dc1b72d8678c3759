package client_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// quantile returns the q-th of sorted times.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))]
}

// hits reads one key, which memory holds, again and again until the condition
// holds, and returns how long each took, sorted.
func hits(t *testing.T, c *client.Client, key, value string, until func() bool) []time.Duration {
	t.Helper()
	var took []time.Duration
	buf := make([]byte, 0, 4096)
	for !until() {
		for range 200 {
			began := time.Now()
			got, err := c.GetInto(t.Context(), key, buf)
			took = append(took, time.Since(began))
			if err != nil || string(got) != value {
				t.Fatalf("%s: %q, %v", key, got, err)
			}
		}
		time.Sleep(time.Millisecond) // the others' turn
	}
	slices.Sort(took)
	return took
}

// Redis that does not answer costs reads nothing that memory can tell, and little
// further out: they come from disk, owners and origin, as fresh as ever.
func TestRedisIsStoppedForAWhile(t *testing.T) {
	f := newFleet(t)
	usual := func(c *client.Config) { c.RedisTimeout = 0 }
	a, b := f.open("a", usual), f.open("b", usual)
	if _, err := a.Set(t.Context(), "hot", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "hot", client.At(client.Strong())); err != nil {
		t.Fatal(err)
	}
	measure := func(what string, d time.Duration) (p99 time.Duration) {
		t.Helper()
		end, done := after(d), make(chan []time.Duration, 1)
		go func() { done <- hits(t, b, "hot", "v", end) }()
		reads, worst := bystander(t, a, b, end)
		took := <-done
		p99 = quantile(took, 0.99)
		t.Logf("%s: hits in memory p50 %v, p99 %v, of %d; %d other reads, the slowest %v", what, quantile(took, 0.5), p99, len(took), reads, worst)
		if worst > 3*time.Second {
			t.Errorf("%s: a read took %v", what, worst)
		}
		return p99
	}
	before := measure("with Redis", *faultFor/3)
	f.redis.Pause()
	during := measure("without Redis", *faultFor)
	trips := b.TierStats().Shared.Breaker
	f.redis.Resume()
	if trips == "closed" {
		t.Error("the breaker was not opened by a Redis that does not answer")
	}
	// A machine with others at work on it makes single hits slow; a hit that
	// waited for Redis would take its timeout of 100 ms.
	if during > 10*before+2*time.Millisecond {
		t.Errorf("p99 of hits in memory: %v without Redis, %v with it", during, before)
	}
	back := after(2 * time.Minute)
	bystander(t, a, b, func() bool {
		return back() || b.TierStats().Shared.Breaker == "closed" && a.TierStats().Shared.Breaker == "closed"
	})
	if s := b.TierStats().Shared; s.Breaker != "closed" {
		t.Errorf("Redis is back, and not used: %+v", s)
	}
	measure("with Redis again", *faultFor/3)
}

// evictions returns how many keys a server has evicted.
func evictions(t *testing.T, url string) uint64 {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	defer c.Close()
	info, err := c.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, n, _ := strings.Cut(info, "evicted_keys:")
	n, _, _ = strings.Cut(n, "\r")
	evicted, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return evicted
}

// A Redis that is far too small evicts copies, the witness among them, or takes
// none: both cost hits and nothing else.
func TestRedisIsTooSmall(t *testing.T) {
	for _, policy := range []string{"allkeys-lru", "volatile-lfu", "noeviction"} {
		t.Run(policy, func(t *testing.T) {
			f := &fleet{t: t, nats: process.NATS(t), dir: t.TempDir()}
			f.redis = process.Redis(t, "--maxmemory", "2500kb", "--maxmemory-policy", policy)
			plain := func(c *client.Config) { c.Compression = client.CompressOff }
			a, b := f.open("a", plain), f.open("b", plain)
			for i := range 3000 { // four times what fits
				if _, err := a.Set(t.Context(), fmt.Sprintf("big:%d", i), []byte(strings.Repeat("v", 2000+i))); err != nil {
					t.Fatal(err)
				}
			}
			reads, worst := bystander(t, a, b, after(*faultFor/2))
			evicted, refused := evictions(t, f.redis.URL()), a.TierStats().Shared.Unavailable
			t.Logf("%d reads, the slowest %v; %d copies evicted, %d refused", reads, worst, evicted, refused)
			if felt := map[bool]uint64{true: refused, false: evicted}[policy == "noeviction"]; felt < 500 {
				t.Errorf("Redis was not too small: %d copies evicted, %d refused", evicted, refused)
			}
			for _, c := range []*client.Client{a, b} {
				if x := c.Node().Stats(); x.Regressions+x.Audit.ViolationsByLog+x.Audit.ViolationsByPeer != 0 {
					t.Errorf("%+v", x)
				}
			}
			advice := b.Tiers()[2].Advice
			if wanted := policy != "volatile-lfu"; (len(advice) > 0) != wanted {
				t.Errorf("advice: %q", advice)
			}
		})
	}
}
