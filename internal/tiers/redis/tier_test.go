package redis

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
	"github.com/raptorflow/tercet/test/process"
)

func present(string) events.Epoch { return tiertest.Epoch }

func client(t testing.TB, url string) goredis.UniversalClient {
	t.Helper()
	c, err := NewClient(ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func open(t testing.TB, cfg Config) *Tier {
	t.Helper()
	if cfg.Domain == "" {
		cfg.Domain = "shop"
	}
	if cfg.Epoch == nil {
		cfg.Epoch = present
	}
	tier, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tier
}

func suite(t *testing.T, url func(t *testing.T) string) {
	tiertest.Run(t, func(t *testing.T, clock *tiertest.Clock) tiertest.Subject {
		c := client(t, url(t))
		if err := c.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		// A wide timeout: the suite tells right from wrong, not fast from slow.
		tier := open(t, Config{Client: c, Now: clock.Now, MaxPayload: 40_000, Timeout: 10 * time.Second})
		return tiertest.Subject{
			Tier: tier, TooLarge: 40_001,
			Plant: func(t *testing.T, key string, raw []byte) {
				t.Helper()
				if err := c.Set(t.Context(), tier.name(tiertest.Epoch, key), raw, 0).Err(); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func TestTier(t *testing.T) {
	server := process.Redis(t)
	suite(t, func(*testing.T) string { return server.URL() })
}

func TestTierOnMiniredis(t *testing.T) {
	suite(t, func(t *testing.T) string { return "redis://" + miniredis.RunT(t).Addr() })
}

func TestTierOnCluster(t *testing.T) {
	cluster := process.Cluster(t, 3)
	tiertest.Run(t, func(t *testing.T, clock *tiertest.Clock) tiertest.Subject {
		c := client(t, cluster.URL()).(*goredis.ClusterClient)
		if err := c.ForEachMaster(t.Context(), func(ctx context.Context, m *goredis.Client) error {
			return m.FlushAll(ctx).Err()
		}); err != nil {
			t.Fatal(err)
		}
		tier := open(t, Config{Client: c, Now: clock.Now, MaxPayload: 40_000, Timeout: 10 * time.Second})
		return tiertest.Subject{Tier: tier, TooLarge: 40_001}
	})
}

func TestTierBehindSentinel(t *testing.T) {
	url := process.Sentinel(t, process.Redis(t))
	suite(t, func(*testing.T) string { return url })
}
