package hotset

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/popularity"
)

// maxOpen bounds how many open brackets are remembered. The end of one that is
// not warms nothing.
const maxOpen = 1024

// bracket names one partition's part of a bracketed write.
type bracket struct {
	partition int
	id        events.BracketID
}

// Killed returns the hot keys whose copies die by data, an encoded
// record of a partition: those of its invalidations, of brackets that end in it, and everything where
// it opens an epoch or can't be decoded, for that is how nodes take it. Puts
// kill copies too, but bring new ones.
func (s *Set) Killed(now time.Time, partition int, data []byte) []popularity.Estimate {
	r, err := events.DecodeRecord(data)
	if err != nil {
		return s.Victims(now, &events.Scope{All: true})
	}
	var all []popularity.Estimate
	scopes := 0
	for _, c := range r.Changes {
		scope, ok := s.scope(partition, c)
		if !ok {
			continue
		}
		scopes++
		all = append(all, s.Victims(now, &scope)...)
	}
	if scopes > 1 {
		popularity.SortByRate(all)
		all = all[:min(len(all), s.config.MaxVictims)]
	}
	return all
}

// scope returns what a change kills without bringing anything instead.
func (s *Set) scope(partition int, c events.Change) (events.Scope, bool) {
	switch c := c.(type) {
	case *events.Invalidate:
		return c.Scope, true
	case *events.EpochChange:
		return events.Scope{All: true}, true
	case *events.Intent:
		// Loads go past the cache until the bracket ends: nothing to warm yet.
		if len(s.open) < maxOpen {
			s.open[bracket{partition, c.Bracket}] = c.Scope
		}
	case *events.End:
		b := bracket{partition, c.Bracket}
		scope, known := s.open[b]
		delete(s.open, b)
		return scope, known
	}
	return events.Scope{}, false
}

// Forget drops the open brackets of a partition, as when its log's history
// changed.
func (s *Set) Forget(partition int) {
	for b := range s.open {
		if b.partition == partition {
			delete(s.open, b)
		}
	}
}
