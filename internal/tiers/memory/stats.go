package memory

// Stats are counters since the cache was made, but for Entries, Young,
// Generous and Bytes.
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
	// Bytes is the size at present; Resized counts its changes.
	Bytes, Resized uint64
}

// Stats returns the counters. It walks 512 segments: for a scrape, not for a
// request.
func (c *Cache) Stats() Stats {
	c.clearing.Lock()
	defer c.clearing.Unlock()
	s := c.now.Load().count()
	s.Hits += c.before.Hits
	s.Misses += c.before.Misses
	s.Evacuated += c.before.Evacuated
	s.TooLarge, s.Outdated, s.TurnedAway = c.tooLarge.Load(), c.outdated.Load(), c.turnedAway.Load()
	s.Resized = c.resized.Load()
	return s
}

// count returns what the two segments have counted.
func (s *seats) count() Stats {
	n := Stats{
		Bytes:   uint64(s.bytes()),
		Entries: uint64(s.main.EntryCount()), Hits: uint64(s.main.HitCount()),
		Misses: uint64(s.main.MissCount()), Evacuated: uint64(s.main.EvacuateCount()),
	}
	if s.young == nil {
		return n
	}
	n.Misses = 0 // what young does not know either is missing
	s.young.count(&n)
	if s.admit.duel.follow.Load() {
		n.Generous = 1
	}
	return n
}
