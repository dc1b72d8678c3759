package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// The witness outlives a tail of the log that was lost with everyone who had
// applied it. Three rules rest on it (docs/PROTOCOL.md, H3, H5, H6):
//
//   - fresh-as-of is extended by a pulse only if the witness, read before the
//     pulse set out, lies below it and agrees, and after it was raised to it;
//   - no copy leaves the process before the witness covers its birth;
//   - a write returns only when the witness covers its record.
//
// Where the witness can't be reached the node goes on without it, and counts
// that: the guarantees across a log that lost its tail hold while the witness
// survives.

// witnessed is how far a partition's witness is known to have come.
type witnessed struct {
	mu      sync.Mutex
	last    Testimony     // what it kept when last asked, agreed with
	running chan struct{} // closed when the raise in flight has ended; nil: none
}

// covers reports whether the witness is known to cover at in epoch.
func (w *witnessed) covers(epoch events.Epoch, at events.Position) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Epoch == epoch && w.last.Position >= at
}

func (w *witnessed) note(t Testimony) {
	w.mu.Lock()
	if t.Epoch != w.last.Epoch || t.Position > w.last.Position {
		w.last = t
	}
	w.mu.Unlock()
}

var (
	// errUnwitnessed reports that the witness could not be asked.
	errUnwitnessed = errors.New("witness is out of reach")
	// errBehindWitness reports a witness that was asked and knows of records
	// that this node has not applied. They may be on their way, or lost: until
	// that is known, nothing may rest on the witness's consent.
	errBehindWitness = errors.New("witness is ahead of this node")
)

// testimony returns what this node would testify now.
func (p *partition) testimony() (Testimony, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	d, whole := p.world.Digest()
	t := Testimony{Epoch: p.world.Epoch(), Position: p.world.Applied(), Digest: d}
	return t, whole && t.Epoch != 0
}

// testify returns once the witness covers at, which this node applied in epoch,
// and agrees with this node's history. Callers at the same time share one
// operation: who comes while one is under way waits for the next.
//
// It returns nil without a witness, errUnwitnessed if it can't be asked,
// errBehindWitness if this node does not come to where the witness is, and an
// *events.HistoryError if it contradicts, after which the partition begins
// anew, or if that has happened since at was applied: nothing that this node
// says now would cover at.
func (p *partition) testify(ctx context.Context, epoch events.Epoch, at events.Position) error {
	if p.n.witness == nil {
		return nil
	}
	for {
		now := events.Epoch(p.epoch.Load())
		if epoch == 0 { // not known when at was applied
			epoch = now
		}
		if p.testified.covers(epoch, at) {
			return nil
		}
		if now != epoch || events.Position(p.applied.Load()) < at {
			return &events.HistoryError{At: at, Evidence: fmt.Sprintf("applied in epoch %s, of which this node is not there any more", epoch)}
		}
		p.testified.mu.Lock()
		running := p.testified.running
		if running == nil {
			p.testified.running = make(chan struct{})
		}
		p.testified.mu.Unlock()
		if running != nil {
			select {
			case <-running:
				continue
			case <-ctx.Done():
				// One that can't be reached answers sooner.
				return fmt.Errorf("%w: %w", errBehindWitness, ctx.Err())
			}
		}
		err := p.raise(ctx, Testimony{})
		p.testified.mu.Lock()
		close(p.testified.running)
		p.testified.running = nil
		p.testified.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// raise raises the witness to what this node has applied. from is what a
// witness of a left epoch keeps, to be replaced.
func (p *partition) raise(ctx context.Context, from Testimony) error {
	t, ok := p.testimony()
	if !ok {
		return errUnwitnessed
	}
	return p.raiseTo(ctx, from, t)
}

func (p *partition) raiseTo(ctx context.Context, from, t Testimony) error {
	kept, err := p.n.witness.Raise(ctx, p.index, from, t)
	if err == nil && kept.Epoch != t.Epoch && kept != from && p.leftEpoch(kept.Epoch) {
		kept, err = p.n.witness.Raise(ctx, p.index, kept, t)
	}
	if err != nil {
		p.n.stats.witnessErrors.Add(1)
		return fmt.Errorf("%w: %w", errUnwitnessed, err)
	}
	if kept == t {
		p.testified.note(kept)
		return nil
	}
	return p.agree(ctx, kept)
}

// agree compares what the witness keeps with this node's history. If the
// witness is ahead, that takes until this node has come there too.
func (p *partition) agree(ctx context.Context, kept Testimony) error {
	ctx, cancel := context.WithTimeout(ctx, p.n.cfg.Settings.Lease)
	defer cancel()
	if err := p.until(ctx, func() bool {
		return p.applied.Load() >= uint64(kept.Position) || p.epoch.Load() != uint64(kept.Epoch)
	}); err != nil {
		return fmt.Errorf("%w, at %d: %w", errBehindWitness, kept.Position, err)
	}
	p.mu.RLock()
	own, known := p.world.DigestAt(kept.Position)
	same := p.world.Epoch() == kept.Epoch
	p.mu.RUnlock()
	switch {
	case !same && p.leftEpoch(kept.Epoch):
		return errUnwitnessed // an epoch began meanwhile: ask again
	case !same:
		return p.contradicted(kept, "the witness knows epoch %s, which this log does not", kept.Epoch)
	case !known:
		return fmt.Errorf("%w: it is too far behind to compare", errUnwitnessed)
	case own != kept.Digest && !mutant.On(mutant.WitnessDigestIgnored):
		return p.contradicted(kept, "the witness keeps digest %s there, this node computed %s", kept.Digest, own)
	}
	p.testified.note(kept)
	return nil
}

func (p *partition) leftEpoch(e events.Epoch) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.world.WasEpoch(e)
}

// contradicted makes the partition begin anew in a new epoch.
func (p *partition) contradicted(kept Testimony, evidence string, args ...any) error {
	err := &events.HistoryError{At: kept.Position, Evidence: fmt.Sprintf(evidence, args...)}
	p.abort(&contradiction{HistoryError: err, epoch: kept.Epoch})
	return err
}

// contradiction is a changed history that the witness, or a member, proved.
type contradiction struct {
	*events.HistoryError
	epoch events.Epoch // what the witness knows
}

func (c *contradiction) Unwrap() error { return c.HistoryError }

// confirm extends fresh-as-of by the pulse at position r, once the witness
// allows it.
func (p *partition) confirm(ctx context.Context, number uint64, s start, epoch events.Epoch, r events.Position) {
	p.confirmBy(ctx, number, s, epoch, r, p.raise)
}

// confirmBy is confirm with its own way to raise the witness to r.
func (p *partition) confirmBy(ctx context.Context, number uint64, s start, epoch events.Epoch, r events.Position, raise raising) {
	if p.n.witness != nil {
		ctx, cancel := context.WithTimeout(ctx, p.n.cfg.Settings.Lease)
		defer cancel()
		switch err := p.allowed(ctx, s, epoch, r, raise); {
		case errors.Is(err, errUnwitnessed):
			p.n.stats.unwitnessed.Add(1)
		case err != nil:
			return
		}
	}
	p.extend(number, epoch, s.holder)
}

// allowed checks a pulse at r against what the witness kept before it set out,
// and raises the witness to it (H3).
func (p *partition) allowed(ctx context.Context, s start, epoch events.Epoch, r events.Position, raise raising) error {
	before := s.witness
	if s.read && before != (Testimony{}) {
		switch {
		case before.Epoch == epoch && before.Position >= r && !mutant.On(mutant.WitnessAtPulseIgnored):
			// Somebody had applied a record at or behind this place before the
			// log gave the place to our pulse.
			return p.contradicted(before, "the witness was at %d before the log gave %d to a new record", before.Position, r)
		case before.Epoch == epoch:
			// One that can't be compared is no reason to stop: raising it
			// makes it comparable.
			if err := p.agree(ctx, before); err != nil && !errors.Is(err, errUnwitnessed) {
				return err
			}
		case !p.leftEpoch(before.Epoch):
			return p.contradicted(before, "the witness knows epoch %s, which this log does not", before.Epoch)
		}
	}
	from := Testimony{}
	if before.Epoch != epoch {
		from = before
	}
	if p.testified.covers(epoch, r) {
		return nil
	}
	return raise(ctx, from)
}

// raising raises the witness; from is what one of a left epoch keeps, to be
// replaced.
type raising func(ctx context.Context, from Testimony) error

// extend makes the node fresh as of when the pulse began, unless its history
// changed since.
func (p *partition) extend(number uint64, epoch events.Epoch, holder int64) {
	p.mu.RLock()
	if p.world.Epoch() == epoch && !p.pulses.voided(number) && !p.n.leaving.Load() {
		for {
			old := p.fresh.Load()
			if holder <= old || p.fresh.CompareAndSwap(old, holder) {
				break
			}
		}
		p.pulses.done(number)
	}
	p.mu.RUnlock()
	if p.n.leaving.Load() {
		p.fresh.Store(never) // leave came between: C5
	}
	p.waiters.wake()
	p.n.noteJoined()
}

// unwitnessedFor bounds how long a write waits for its witness.
const unwitnessedFor = 2 * time.Second
