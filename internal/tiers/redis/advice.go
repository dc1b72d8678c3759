package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/tiers"
)

// advice is what the servers' memory settings mean for a domain.
type advice struct {
	mu    sync.Mutex
	lines []string
}

// Advice returns what an operator should know of the servers' memory settings, as
// [Tier.Examine] has found them; nothing if they are as they should be.
func (t *Tier) Advice() []string {
	t.advice.mu.Lock()
	defer t.advice.mu.Unlock()
	return slices.Clone(t.advice.lines)
}

// Examine asks the servers how they treat a full memory, keeps what follows for
// [Tier.Advice], and returns it. The error is a [tiers.ErrUnavailable].
func (t *Tier) Examine(ctx context.Context) ([]string, error) {
	var mu sync.Mutex
	var lines []string
	ask := func(ctx context.Context, c *goredis.Client) error {
		info, err := c.Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, line := range judgeMemory(info) {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
		return nil
	}
	var err error
	switch c := t.client.(type) {
	case *goredis.ClusterClient:
		err = c.ForEachMaster(ctx, ask)
	case *goredis.Client:
		err = ask(ctx, c)
	default:
		err = errors.New("a client of another kind")
	}
	if err != nil {
		return nil, fmt.Errorf("redis info: %w: %w", tiers.ErrUnavailable, err)
	}
	slices.Sort(lines)
	t.advice.mu.Lock()
	defer t.advice.mu.Unlock()
	t.advice.lines = lines
	return slices.Clone(lines), nil
}

// judgeMemory says what the settings in a server's INFO lead to. Copies have a
// time to live, the witness has none: so volatile-* takes copies and no witness.
// A server that does not tell its settings gets no advice.
func judgeMemory(info string) []string {
	limit, policy := infoField(info, "maxmemory"), infoField(info, "maxmemory_policy")
	bytes, err := strconv.ParseUint(limit, 10, 64)
	switch {
	case err != nil || policy == "":
		return nil
	case bytes == 0:
		return []string{"maxmemory is not set: copies grow until the machine ends Redis, or another process on it; set maxmemory, and maxmemory-policy volatile-lfu"}
	case policy == "noeviction":
		return []string{"maxmemory-policy is noeviction: a full Redis takes no new copies, and the witness is not raised; set volatile-lfu"}
	case strings.HasPrefix(policy, "allkeys-"):
		return []string{"maxmemory-policy is " + policy + ": the witness may be evicted, and a log that loses acknowledged records before it is raised again goes unnoticed; set volatile-lfu"}
	case policy == "volatile-ttl", policy == "volatile-random":
		return []string{"maxmemory-policy is " + policy + ": copies are evicted whether they are asked for or not; volatile-lfu hits more"}
	}
	return nil
}

// infoField returns the value of name in an answer to INFO, empty if it is not
// there.
func infoField(info, name string) string {
	for line := range strings.SplitSeq(info, "\n") {
		if field, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && field == name {
			return value
		}
	}
	return ""
}
