package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// window is how many records are read around a place to find a pulse that
// vouches for it, and at the log's end for the epoch of today. Each member
// pulses every fifth of a lease.
const window = 4096

// Prove compares a place with the log, whose last record is at last, and returns
// nil if the log holds the place's record and its records lead from the place's
// digest to one that a member of the same epoch has reported, or to the place's
// from such a one or from where the epoch was opened. A position and the
// identity of its record would not do (H1).
//
// Errors: [ErrTrimmed], [ErrOldEpoch], [ErrOtherHistory], [ErrUnproved], the log's.
func Prove(ctx context.Context, log events.Log, last events.Position, p Place) error {
	at := p.Mark.Position
	switch {
	case at == 0 || p.Epoch == 0 || p.Digest == (events.Digest{}):
		return fmt.Errorf("%w: it has no place in one", ErrUnproved)
	case at > last:
		return fmt.Errorf("%w: it is at %d, the log ends at %d", ErrOtherHistory, at, last)
	}
	if err := here(ctx, log, p); err != nil {
		return err
	}
	if err := today(ctx, log, last, p); err != nil {
		return err
	}
	found, err := after(ctx, log, last, p)
	if err != nil || found {
		return err
	}
	if found, err = before(ctx, log, p); err != nil || found {
		return err
	}
	return fmt.Errorf("%w: no pulse of its epoch within %d records", ErrUnproved, window)
}

// here checks that the log's record at the place is the one that was applied.
func here(ctx context.Context, log events.Log, p Place) error {
	err := log.Read(ctx, p.Mark.Position, p.Mark.Position, func(batch []events.Delivery) error {
		if batch[0].Mark != p.Mark {
			return fmt.Errorf("%w: the log's record at %d is another", ErrOtherHistory, p.Mark.Position)
		}
		return nil
	})
	if errors.Is(err, events.ErrGap) {
		return fmt.Errorf("%w: it is at %d", ErrTrimmed, p.Mark.Position)
	}
	return err
}

// today checks that the log is still in the place's epoch, as far as its last
// records tell. Where they don't, applying the tail will.
func today(ctx context.Context, log events.Log, last events.Position, p Place) error {
	from := p.Mark.Position + 1
	if last > window {
		from = max(from, last-window+1)
	}
	if from > last {
		return nil
	}
	epoch := p.Epoch
	err := pulses(ctx, log, from, last, func(d *events.Delivery, c events.Change) bool {
		switch c := c.(type) {
		case *events.Pulse:
			if c.Epoch != 0 {
				epoch = c.Epoch
			}
		case *events.EpochChange:
			epoch = 0 // what it is called does not matter: it is behind the place
		}
		return true
	})
	if err == nil && epoch != p.Epoch && !mutant.On(mutant.SnapshotEpochIgnored) {
		err = fmt.Errorf("%w: %s", ErrOldEpoch, p.Epoch)
	}
	return err
}

// after looks behind the place for a member that had applied it, or more.
func after(ctx context.Context, log events.Log, last events.Position, p Place) (found bool, err error) {
	at := p.Mark.Position
	if at == last {
		return false, nil
	}
	digests := []events.Digest{p.Digest} // from at on
	var other error
	err = pulses(ctx, log, at+1, min(last, at+window), func(d *events.Delivery, c events.Change) bool {
		if n := events.Position(len(digests)); n <= d.Position-at {
			digests = append(digests, digests[n-1].Next(d.ID))
		}
		if _, over := c.(*events.EpochChange); over && !mutant.On(mutant.SnapshotEpochIgnored) {
			found, other = true, fmt.Errorf("%w: %s", ErrOldEpoch, p.Epoch)
			return false
		}
		pulse, ok := c.(*events.Pulse)
		if !ok || pulse.Epoch != p.Epoch || pulse.Applied < at || pulse.Applied >= d.Position || pulse.Digest == (events.Digest{}) {
			return true
		}
		found = true
		if digests[pulse.Applied-at] != pulse.Digest && !mutant.On(mutant.SnapshotUnproved) {
			other = fmt.Errorf("%w: %s had another digest at %d", ErrOtherHistory, pulse.Node, pulse.Applied)
		}
		return false
	})
	return found, errors.Join(err, other)
}

// before looks in front of the place for a digest that leads to the place's: a
// member's, or the one that begins where an epoch was opened.
func before(ctx context.Context, log events.Log, p Place) (found bool, err error) {
	at := p.Mark.Position
	from := events.Position(1)
	if at > window {
		from = at - window + 1
	}
	var b backwards
	err = b.read(ctx, log, from, p)
	var gap *events.GapError
	if errors.As(err, &gap) && gap.First <= at {
		err = b.read(ctx, log, gap.First, p)
	}
	if err != nil || b.by == "" {
		return false, err
	}
	digest := b.digest
	for _, id := range b.ids[b.at+1-b.first:] {
		digest = digest.Next(id)
	}
	if digest != p.Digest && !mutant.On(mutant.SnapshotUnproved) {
		return true, fmt.Errorf("%w: the digest of %s at %d leads to another", ErrOtherHistory, b.by, b.at)
	}
	return true, nil
}

// backwards is the latest digest that the records in front of a place tell.
type backwards struct {
	by     string // who told it; empty: there is none
	at     events.Position
	digest events.Digest

	first events.Position
	ids   []events.ID // of the records from first on
}

func (b *backwards) read(ctx context.Context, log events.Log, first events.Position, p Place) error {
	*b = backwards{first: first}
	return pulses(ctx, log, first, p.Mark.Position, func(d *events.Delivery, c events.Change) bool {
		if events.Position(len(b.ids)) <= d.Position-first {
			b.ids = append(b.ids, d.ID)
		}
		switch c := c.(type) {
		case *events.EpochChange:
			b.by, b.at, b.digest = "the epoch's beginning", d.Position, events.Digest{}.Next(d.ID)
		case *events.Pulse:
			if c.Epoch == p.Epoch && c.Digest != (events.Digest{}) && c.Applied+1 >= first && c.Applied < d.Position && c.Applied > b.at {
				b.by, b.at, b.digest = string(c.Node), c.Applied, c.Digest
			}
		}
		return true
	})
}

// errSeen ends a reading of the log that has seen what it wanted.
var errSeen = errors.New("seen")

// pulses calls fn with the changes of the records from first to last, at least
// once for each record (with a nil change if it has none that can be read),
// until fn returns false.
func pulses(ctx context.Context, log events.Log, first, last events.Position, fn func(*events.Delivery, events.Change) bool) error {
	err := log.Read(ctx, first, last, func(batch []events.Delivery) error {
		for i := range batch {
			r, err := events.DecodeRecord(batch[i].Data)
			if err != nil || len(r.Changes) == 0 {
				r.Changes = []events.Change{nil}
			}
			for _, c := range r.Changes {
				if !fn(&batch[i], c) {
					return errSeen
				}
			}
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		return nil
	}
	return err
}
