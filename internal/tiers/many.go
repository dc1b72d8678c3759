package tiers

import (
	"context"
	"errors"
	"sync"
)

// ManyGetter is a [Tier] that reads several keys at a time for little more than
// the cost of one.
type ManyGetter interface {
	// GetMany answers as that many calls of Get would: found is called with
	// the index of a key and its entry, which belongs to the caller, in any
	// order, one call at a time. A key that is not reported is a miss. The
	// error wraps [ErrUnavailable]: some keys could not be asked for.
	GetMany(ctx context.Context, keys []string, found func(i int, e Entry)) error
}

// atOnce is how many Gets stand in for a GetMany at a time.
const atOnce = 16

// GetMany reads several keys of t, at once if t is a [ManyGetter].
func GetMany(ctx context.Context, t Tier, keys []string, found func(i int, e Entry)) error {
	if m, ok := t.(ManyGetter); ok {
		return m.GetMany(ctx, keys, found)
	}
	var (
		mu     sync.Mutex
		failed error
		all    sync.WaitGroup
	)
	for from := range min(atOnce, len(keys)) {
		all.Go(func() {
			for i := from; i < len(keys); i += atOnce {
				e, err := t.Get(ctx, keys[i], nil)
				mu.Lock()
				switch {
				case err == nil:
					found(i, e)
				case !errors.Is(err, ErrMiss):
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return failed
}
