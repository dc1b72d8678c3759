package memory

// Stats are counters since the cache was made, but for Entries and Young.
type Stats struct {
	// Entries is how many copies lie here now; Young how many of them are on
	// trial.
	Entries, Young uint64
	// Hits and Misses count lookups; a copy that had expired counts as a hit.
	Hits, Misses uint64
	// Evacuated counts the entries that freecache dropped or moved to make
	// room for others; it does not tell one from the other.
	Evacuated uint64
	// TooLarge counts copies refused for their size, Outdated those refused
	// for their birth, TurnedAway those that admission had no place for.
	TooLarge, Outdated, TurnedAway uint64
	// Generous is 1 while most new keys are let in at once, for that misses
	// less at the moment.
	Generous uint64
}

// Stats returns the counters. It walks 512 segments: for a scrape, not for a
// request.
func (c *Cache) Stats() Stats {
	c.clearing.Lock()
	defer c.clearing.Unlock()
	s := c.before
	s.TooLarge, s.Outdated, s.TurnedAway = c.tooLarge.Load(), c.outdated.Load(), c.turnedAway.Load()
	for _, f := range c.segments() {
		s.Entries += uint64(f.EntryCount())
		s.Hits += uint64(f.HitCount())
		s.Evacuated += uint64(f.EvacuateCount())
	}
	s.Misses += uint64(c.last().MissCount())
	if c.young != nil {
		s.Young = uint64(c.young.EntryCount())
		if c.admit.duel.follow.Load() {
			s.Generous = 1
		}
	}
	return s
}
