package node

import (
	"context"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
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
)

// reread judges s by the log's records. known is false if they could not all be
// read, or are not proved by their digest to be those that this node applied in
// s's epoch: the log may have lost them since, and given their places away.
func (a *auditor) reread(ctx context.Context, s Sighting) (at events.Position, known bool) {
	if s.Claim <= s.Birth {
		return 0, true // nothing can have come in between
	}
	if s.Claim-s.Birth > maxReread {
		return 0, false
	}
	p := a.n.parts[s.Partition]
	p.mu.RLock()
	digest, begins := p.world.DigestAt(s.Birth)
	p.mu.RUnlock()
	if !begins {
		return 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, rereadTimeout)
	defer cancel()
	var seen fenceLog
	err := p.log.Read(ctx, s.Birth+1, s.Claim, func(batch []events.Delivery) error {
		steps := make([]coherence.Step, len(batch))
		for i, d := range batch {
			r, err := events.DecodeRecord(d.Data)
			digest = digest.Next(d.ID)
			steps[i] = coherence.Step{Mark: d.Mark, Record: r, Err: err}
		}
		seen.note(steps)
		seen.keep(s)
		return nil
	})
	if err != nil || digest != s.Digest && !mutant.On(mutant.AuditOfAnyHistory) {
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
