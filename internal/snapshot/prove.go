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
// nil if the log holds the place's record and a member of the same epoch has
// reported a digest that the log's own records lead to from the place's, or
// from which they lead to the place's. A position and the identity of its
// record would not do (H1).
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

// before looks in front of the place for a member whose digest leads to the
// place's.
func before(ctx context.Context, log events.Log, p Place) (found bool, err error) {
	at := p.Mark.Position
	from := events.Position(1)
	if at > window {
		from = at - window + 1
	}
	var ids []events.ID // of the records from first on
	var first events.Position
	var vouched *events.Pulse
	read := func(from events.Position) error {
		ids, first, vouched = ids[:0], from, nil
		return pulses(ctx, log, from, at, func(d *events.Delivery, c events.Change) bool {
			if events.Position(len(ids)) <= d.Position-first {
				ids = append(ids, d.ID)
			}
			if pulse, ok := c.(*events.Pulse); ok && pulse.Epoch == p.Epoch && pulse.Digest != (events.Digest{}) &&
				pulse.Applied+1 >= first && pulse.Applied < d.Position {
				vouched = pulse
			}
			return true
		})
	}
	err = read(from)
	var gap *events.GapError
	if errors.As(err, &gap) && gap.First <= at {
		err = read(gap.First)
	}
	if err != nil || vouched == nil {
		return false, err
	}
	digest := vouched.Digest
	for _, id := range ids[vouched.Applied+1-first:] {
		digest = digest.Next(id)
	}
	if digest != p.Digest {
		return true, fmt.Errorf("%w: the digest of %s at %d leads to another", ErrOtherHistory, vouched.Node, vouched.Applied)
	}
	return true, nil
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
