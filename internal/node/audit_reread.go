package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// The list of fences that came by was noted by this process. Now and then the
// auditor trusts it as little as the rest, and reads the log itself again, from
// the copy's birth to the position that was claimed.

const (
	// rereadEvery is the least time between two such readings.
	rereadEvery = time.Second
	// rereadTimeout and maxReread, in records, bound one.
	rereadTimeout = 2 * time.Second
	maxReread     = 50_000
	// One record in markEvery is remembered as a place to begin at, maxMarks of
	// them: what a birth further back needs is read from the first record that
	// is retained.
	markEvery = 1024
	maxMarks  = 4096
)

// enough ends a reading.
var enough = errors.New("enough was read")

// reread judges s by the log's records. known is false if they could not all be
// read, or the epoch changed among them.
func (a *auditor) reread(ctx context.Context, s Sighting) (at events.Position, known bool) {
	ctx, cancel := context.WithTimeout(ctx, rereadTimeout)
	defer cancel()
	var seen fenceLog
	read := 0
	err := a.n.parts[s.Partition].log.Follow(ctx, a.seen[s.Partition].markAt(s.Birth), func(batch []events.Delivery) error {
		steps := make([]coherence.Step, len(batch))
		for i, d := range batch {
			r, err := events.DecodeRecord(d.Data)
			steps[i] = coherence.Step{Mark: d.Mark, Record: r, Err: err}
		}
		seen.note(steps)
		seen.keep(s)
		if read += len(batch); read >= maxReread || seen.last >= s.Claim {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		return 0, false
	}
	return seen.killer(s)
}

// mayReread reports whether it is time for another reading, and notes that it
// was.
func (a *auditor) mayReread() bool {
	now := a.n.clock.Waiter()
	if a.rereadAt != 0 && now-a.rereadAt < int64(rereadEvery) {
		return false
	}
	a.rereadAt = now
	return true
}

// mark notes a record that a reading may begin behind.
func (l *seenFences) mark(m events.Mark) {
	if m.Position%markEvery != 0 {
		return
	}
	if len(l.marks) == maxMarks {
		l.marks = slices.Delete(l.marks, 0, maxMarks/2)
	}
	l.marks = append(l.marks, m)
}

// markAt returns the last marked record at or below p; the zero Mark if none is.
func (l *fenceLog) markAt(p events.Position) (m events.Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.marks {
		if at.Position <= p {
			m = at
		}
	}
	return m
}

// keep forgets the fences that are not about s.
func (l *fenceLog) keep(s Sighting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fences = slices.DeleteFunc(l.fences, func(f seenFence) bool { return !f.covers(s) })
	l.names = 0
	for _, f := range l.fences {
		l.names += f.size()
	}
}
