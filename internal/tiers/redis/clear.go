package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

const scanCount = 1000

// Clear implements [tiers.Tier]: it walks the server's whole key space for
// names of the domain, of any epoch, and removes them. It takes as long as
// that takes, until ctx is done; it is for an operator's explicit clear. The
// witness stays.
func (t *Tier) Clear(ctx context.Context) error {
	var err error
	if c, ok := t.client.(*goredis.ClusterClient); ok {
		var mu sync.Mutex // the masters are walked at once
		err = c.ForEachMaster(ctx, func(ctx context.Context, master *goredis.Client) error {
			err := t.clear(ctx, master)
			mu.Lock()
			defer mu.Unlock()
			return err
		})
	} else {
		err = t.clear(ctx, t.client)
	}
	if err != nil {
		return t.unavailable("clear", err)
	}
	return nil
}

func (t *Tier) clear(ctx context.Context, server goredis.Cmdable) error {
	// A domain's name holds no character that means something in a pattern.
	// Entries have 16 digits of epoch where the witness has its word.
	match := t.prefix + "????????????????:*"
	for cursor := uint64(0); ; {
		names, next, err := server.Scan(ctx, cursor, match, scanCount).Result()
		if err != nil {
			return err
		}
		if len(names) > 0 {
			p := server.Pipeline()
			for _, n := range names { // one name a command: a cluster's slots differ
				p.Unlink(ctx, n)
			}
			if _, err := p.Exec(ctx); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
