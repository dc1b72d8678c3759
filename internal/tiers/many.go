package tiers

import (
	"context"
	"errors"
	"sync"
)

// ManyGetter is a [Tier] that reads several keys at a time for little more than
// the cost of one.
type ManyGetter interface {
	// GetMany answers as that many calls of Get would: with an entry for each
	// key, which belongs to the caller, or nil for a miss. The error wraps
	// [ErrUnavailable]: some keys could not be asked for, and count as misses.
	GetMany(ctx context.Context, keys []string) ([]Entry, error)
}

// atOnce is how many Gets stand in for a GetMany at a time.
const atOnce = 16

// GetMany reads several keys of t, in one go if t is a [ManyGetter].
func GetMany(ctx context.Context, t Tier, keys []string) ([]Entry, error) {
	if m, ok := t.(ManyGetter); ok {
		return m.GetMany(ctx, keys)
	}
	entries, errs := make([]Entry, len(keys)), make([]error, len(keys))
	var all sync.WaitGroup
	for from := range min(atOnce, len(keys)) {
		all.Go(func() {
			for i := from; i < len(keys); i += atOnce {
				entries[i], errs[i] = t.Get(ctx, keys[i], nil)
			}
		})
	}
	all.Wait()
	var failed error
	for i, err := range errs {
		if err != nil {
			entries[i] = nil
		}
		if err != nil && !errors.Is(err, ErrMiss) {
			failed = err
		}
	}
	return entries, failed
}
