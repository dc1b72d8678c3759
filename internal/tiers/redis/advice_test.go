package redis

import (
	"errors"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/test/process"
)

// What a full memory leads to is said before it is full.
func TestAdvice(t *testing.T) {
	for _, tc := range []struct{ limit, policy, want string }{
		{"0", "noeviction", "maxmemory is not set"},
		{"64mb", "noeviction", "takes no new copies"},
		{"64mb", "allkeys-lru", "witness may be evicted"},
		{"64mb", "volatile-random", "whether they are asked for"},
		{"64mb", "volatile-lfu", ""},
		{"64mb", "volatile-lru", ""},
	} {
		server := process.Redis(t, "--maxmemory", tc.limit, "--maxmemory-policy", tc.policy)
		tier := open(t, Config{Client: client(t, server.URL())})
		got, err := tier.Examine(t.Context())
		switch {
		case err != nil:
			t.Fatal(err)
		case tc.want == "" && len(got) != 0, tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want)):
			t.Errorf("%s, %s: %q, want %q", tc.limit, tc.policy, got, tc.want)
		case strings.Join(tier.Advice(), "") != strings.Join(got, ""):
			t.Errorf("%q was not kept: %q", got, tier.Advice())
		}
		server.Kill()
		if _, err := tier.Examine(t.Context()); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("a server that is gone: %v", err)
		}
	}
	cluster := process.Cluster(t, 3)
	tier := open(t, Config{Client: client(t, cluster.URL())})
	if got, err := tier.Examine(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("three servers of one mind: %q, %v", got, err)
	}
}
