package events

import (
	"fmt"

	"github.com/raptorflow/tercet/internal/mutant"
)

// remembered is how many identities a follower keeps to compare a record with
// that is delivered again.
const remembered = 64

// mostDoubts is how many attaches in a row may meet a gap at one place before
// it counts as real.
const mostDoubts = 5

// Continuity judges whether deliveries continue one history. Every
// implementation of [Log.Follow] asks it about every record:
//
//   - whenever it attaches, [Continuity.Attach] with what the log holds;
//     deliveries must then begin at [Continuity.Start];
//   - for each delivery, [Continuity.Observe].
//
// It is not safe for concurrent use.
type Continuity struct {
	last     Mark
	begin    Position // where deliveries have to begin, while last is zero
	behind   Position // the caller knows that the log has come so far
	first    Position // what the log began at when it was last attached to
	reading  bool     // begin is where the caller wants to begin
	anchored bool     // the record at last was seen since Attach
	// attaches counts those since the last new record.
	attaches int
	recent   [remembered]Mark
}

// NewContinuity returns the judge of a follower that has applied everything up
// to from. With a from that names no record it begins at the first one that the
// log holds behind from's position.
func NewContinuity(from Mark) *Continuity {
	if !from.Named() {
		return &Continuity{behind: from.Position}
	}
	c := &Continuity{last: from}
	c.remember(from)
	return c
}

// NewReading returns the judge of one who reads from first on and knows no
// identity there.
func NewReading(first Position) *Continuity { return &Continuity{begin: first, reading: true} }

// Last returns the mark of the last record that was delivered.
func (c *Continuity) Last() Mark { return c.last }

// Start returns the position that deliveries begin at after an attach: the
// last delivered record itself, so that its identity can be compared. Zero
// means the first that is retained.
func (c *Continuity) Start() Position {
	if mutant.On(mutant.AttachBehindLast) {
		return c.last.Position + 1
	}
	switch {
	case c.last.Position > 0:
		return c.last.Position
	case c.reading:
		return c.begin
	case c.behind > 0:
		return c.behind + 1
	}
	return 0
}

// Attach begins anew on a log that holds the positions from first to last. An
// empty log has first = last+1.
func (c *Continuity) Attach(first, last Position) error {
	c.anchored = mutant.On(mutant.AttachBehindLast)
	c.attaches++
	c.first = first
	switch at := c.last.Position; {
	case at == 0 && c.reading:
		if first > c.begin {
			return c.gap(c.begin-1, first)
		}
		return nil
	case last < c.behind:
		return &HistoryError{At: c.behind, Evidence: fmt.Sprintf("held a record behind this place, but ends at %d", last)}
	case at == 0:
		// An empty log may call its first position zero. A log that is trimmed
		// between this and the first delivery is attached to again.
		c.begin = max(first, c.behind+1)
		return nil
	case last < at && !mutant.On(mutant.ShorterLogIgnored):
		return &HistoryError{At: at, Evidence: fmt.Sprintf("applied here, but the log ends at %d", last)}
	case first > at:
		return c.gap(at, first)
	}
	return nil
}

func (c *Continuity) gap(after, first Position) *GapError {
	return &GapError{After: after, First: first, Retained: c.first}
}

// Observe judges the next delivery. It reports true for a record that follows
// the last one and false for one that was delivered before, which is to be
// ignored. The error is a *[GapError] or a *[HistoryError]; see
// [Continuity.Doubtful].
func (c *Continuity) Observe(m Mark) (fresh bool, err error) {
	at := c.last.Position
	if at == 0 && m.Position > c.begin {
		return false, c.gap(c.begin-1, m.Position)
	}
	switch {
	case m.Position == at+1 && c.anchored, at == 0, m.Position > at && mutant.On(mutant.GapIgnored):
		c.last, c.anchored, c.attaches = m, true, 0
		c.remember(m)
		return true, nil
	case m.Position > at:
		return false, c.gap(at, m.Position)
	}
	known := c.recent[m.Position%remembered]
	if known.Position != m.Position {
		return false, &HistoryError{At: m.Position, Evidence: fmt.Sprintf("delivered behind position %d", at)}
	}
	if (known.ID != m.ID || known.Time != m.Time) && !mutant.On(mutant.IdentityIgnored) {
		return false, &HistoryError{At: m.Position, Evidence: fmt.Sprintf(
			"was record %s of %d, is record %s of %d", known.ID, known.Time, m.ID, m.Time)}
	}
	if m.Position == at {
		c.anchored = true
	}
	return false, nil
}

// Doubtful reports whether err, which Observe returned, may be the fault of
// the delivery (a message that was dropped on its way) rather than of the log:
// a gap that was not met again and again at the same place. The follower
// attaches once more; a real gap stays.
func (c *Continuity) Doubtful(err error) bool {
	_, gap := err.(*GapError)
	return gap && c.attaches < mostDoubts
}

func (c *Continuity) remember(m Mark) { c.recent[m.Position%remembered] = m }
