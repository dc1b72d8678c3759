package disk

import (
	"context"
	"errors"
	"slices"

	"github.com/raptorflow/tercet/internal/mutant"
)

// relieve has pebble merge a stretch of the rows where much of what the disk
// holds was evicted, and too little is written for it to go by itself.
func (h *hand) relieve() error {
	s, m := h.s, &h.s.meter
	if !s.enter() {
		return s.unavailable()
	}
	defer s.exit()
	if p := m.measure(s); m.leaving.Load() < m.share(measureEvery) || m.used.Load() < m.share(highMark) || p.Compact.NumInProgress > 0 {
		return nil
	}
	from, to := h.merged, h.at
	if len(to) == 0 || slices.Compare(from, to) >= 0 {
		to = appendName(nil, s.cfg.Partitions, 0)
	}
	if len(from) == 0 {
		from = []byte{0}
	}
	to, size, err := s.stretch(from, to)
	if err != nil {
		return s.failed("compact", err)
	}
	before := m.used.Load()
	if err := s.db.Compact(s.life, from, to, false); errors.Is(err, context.Canceled) {
		return s.unavailable()
	} else if err != nil {
		return s.failed("compact", err)
	}
	h.merged = to
	m.measure(s)
	// At least its part, or what is not there would be waited for.
	gone := max(before-m.used.Load(), int64(float64(m.leaving.Load())*min(float64(size)/float64(before), 1)))
	m.leaving.Add(-min(gone, m.leaving.Load()))
	return nil
}

// stretch returns how far a merge from from on may go towards to, and about how
// much of the lowest level that is: half of [mergeRoom], the rest is for what
// lies above and at the ends.
func (s *Store) stretch(from, to []byte) (end []byte, size int64, err error) {
	levels, err := s.db.SSTables()
	if err != nil {
		return nil, 0, err
	}
	most := mergeRoom(s.cfg.Budget) / 2
	for _, t := range levels[len(levels)-1] {
		first, last := t.Smallest.UserKey, t.Largest.UserKey
		switch {
		case slices.Compare(last, from) <= 0:
			continue
		case slices.Compare(first, to) >= 0:
			return to, size, nil
		case size > 0 && size+int64(t.Size) > most && !mutant.On(mutant.ReliefAtOnce):
			return slices.Clone(first), size, nil
		}
		size += int64(t.Size)
	}
	return to, size, nil
}
