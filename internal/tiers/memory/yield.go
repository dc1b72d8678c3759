package memory

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/tiers/headroom"
)

// Yielding says how a cache gives memory back.
type Yielding struct {
	// Least is the size that is never given back, in bytes. Default an eighth
	// of [Config].Bytes, at least 512 KiB.
	Least int
	// Look tells how much room there is. Default [headroom.Look].
	Look func() headroom.Reading
	// Every is the time between two looks; default 5 s.
	Every time.Duration
	// Resized is told of each change, if it is not nil.
	Resized func(bytes int, why headroom.Reading)
}

// Yield watches the process's memory until ctx ends, which is what it returns.
// Where nine tenths of a limit are used, or a tenth of the time goes by in
// waiting for memory, it halves the cache; one that would fit in three quarters
// of the limit if it were twice as large, for a minute on end, is doubled. So
// between the two there is room to breathe, and a cache that went goes back
// slowly. Each change drops what the cache holds, see [Cache.Resize].
func (c *Cache) Yield(ctx context.Context, y Yielding) error {
	if y.Least == 0 {
		y.Least = c.full / 8
	}
	if y.Look == nil {
		y.Look = headroom.Look
	}
	if y.Every == 0 {
		y.Every = 5 * time.Second
	}
	t := time.NewTicker(y.Every)
	defer t.Stop()
	s := yield{full: c.full, least: min(c.full, max(MinBytes, y.Least))}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
		r, now := y.Look(), c.Bytes()
		to := s.next(now, r)
		if to == now {
			continue
		}
		if err := c.Resize(to); err != nil {
			return err
		}
		if y.Resized != nil {
			y.Resized(to, r)
		}
	}
}

const (
	tight   = 0.90 // of a limit: less cache
	roomy   = 0.75 // of a limit, after growing: more cache
	stalls  = 0.10 // of the time: less cache
	settled = 2    // looks after shrinking until its effect can be seen
	calm    = 12   // looks with room until the cache grows
)

// yield decides on a size, look by look.
type yield struct {
	full, least int
	wait        int // looks until shrinking is judged
	quiet       int // looks with room, one after the other
}

// next returns the size for a cache of now bytes.
func (y *yield) next(now int, r headroom.Reading) int {
	larger := min(y.full, 2*now)
	switch {
	case r.Share() > tight || r.Stalled > stalls:
		if y.quiet = 0; y.wait > 0 {
			y.wait--
			return now
		}
		y.wait = settled
		return max(y.least, now/2)
	case now == y.full || r.Limit != 0 && float64(r.Used)+float64(larger-now) > roomy*float64(r.Limit):
		y.quiet = 0
	default:
		y.quiet++
	}
	if y.wait = 0; y.quiet < calm {
		return now
	}
	y.quiet = 0
	return larger
}
