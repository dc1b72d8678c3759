package memory

import (
	"context"

	"github.com/raptorflow/tercet/internal/tiers"
)

type tier struct {
	c   *Cache
	now func() int64
}

var _ tiers.Tier = tier{}

// Tier returns the cache behind the port that all tiers share. now is the
// present time in Unix milliseconds, by which Get judges expiry.
func (c *Cache) Tier(now func() int64) tiers.Tier { return tier{c: c, now: now} }

func (t tier) Get(_ context.Context, key string, dst []byte) (tiers.Entry, error) {
	e, ok := t.c.Lookup(key, dst)
	if !ok || e.Ended(t.now()) {
		return nil, tiers.ErrMiss
	}
	return e, nil
}

func (t tier) Put(_ context.Context, e tiers.Entry) error { return t.c.Put(e) }

func (t tier) Remove(_ context.Context, keys ...string) error {
	for _, k := range keys {
		t.c.Remove(k)
	}
	return nil
}

func (t tier) Clear(context.Context) error {
	t.c.clear()
	return nil
}
