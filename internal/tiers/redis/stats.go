package redis

import (
	"sync/atomic"

	"github.com/sony/gobreaker/v2"
)

type counters struct {
	hits, misses, stored, outdated, tooLarge, corrupt, foreign atomic.Uint64
	unavailable, turnedAway, trips, commands                   atomic.Uint64
}

// Stats are counters since the tier was made, but for Inside and Breaker.
type Stats struct {
	// Hits and Misses count Gets; a miss for a reason below counts there only.
	Hits, Misses uint64
	// Stored, Outdated and TooLarge count Puts by their outcome.
	Stored, Outdated, TooLarge uint64
	// Corrupt counts values that were no whole entry, Foreign those of another
	// key, epoch or type.
	Corrupt, Foreign uint64
	// Unavailable counts operations that failed for whatever reason,
	// TurnedAway those for which there was no room inside.
	Unavailable, TurnedAway uint64
	// Trips counts round trips, Commands what they carried.
	Trips, Commands uint64
	// Inside is how many callers are inside now.
	Inside int
	// Breaker is the breaker's state: closed, half-open or open.
	Breaker string
}

// Stats returns the counters.
func (t *Tier) Stats() Stats {
	c := &t.count
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(),
		Stored: c.stored.Load(), Outdated: c.outdated.Load(), TooLarge: c.tooLarge.Load(),
		Corrupt: c.corrupt.Load(), Foreign: c.foreign.Load(),
		Unavailable: c.unavailable.Load(), TurnedAway: c.turnedAway.Load(),
		Trips: c.trips.Load(), Commands: c.commands.Load(),
		Inside:  int(t.inside.Load()),
		Breaker: state(t.breaker.State()),
	}
}

func state(s gobreaker.State) string { return s.String() }
