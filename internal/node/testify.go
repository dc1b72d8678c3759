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
	mu sync.Mutex
	// last is what it kept when last asked and compared with this node's
	// history, or of an epoch that was left.
	last    Testimony
	life    uint64        // counts the times that the node began anew
	running chan struct{} // closed when the raise in flight has ended; nil: none
}

// covers reports whether the witness is known to cover at in epoch.
func (w *witnessed) covers(epoch events.Epoch, at events.Position) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Epoch == epoch && w.last.Position >= at
}

// compared returns the last testimony that was compared, and for note the life
// that it was in.
func (w *witnessed) compared() (Testimony, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.life
}

// note remembers what was compared in a life, if that is not over.
func (w *witnessed) note(life uint64, t Testimony) {
	w.mu.Lock()
	if life == w.life && (t.Epoch != w.last.Epoch || t.Position > w.last.Position) {
		w.last = t
	}
	w.mu.Unlock()
}

// forget begins a new life: what was compared with a history that is forgotten
// says nothing of the one that follows.
func (w *witnessed) forget() {
	w.mu.Lock()
	w.last = Testimony{}
	w.life++
	w.mu.Unlock()
}

var (
	// errUnwitnessed reports that the witness could not be asked.
	errUnwitnessed = errors.New("witness is out of reach")
	// errBehindWitness reports a witness that was asked and can't be agreed
	// with for now: it knows of records that this node has not applied, which may
	// be on their way, or lost; or of so old ones that this node can't compare.
	// Until that is known, nothing may rest on the witness's consent.
	errBehindWitness = errors.New("witness is ahead of this node")
	// errIncomparable is an errBehindWitness that waiting alone does not mend.
	errIncomparable = fmt.Errorf("%w, or too far behind to be compared", errBehindWitness)
)

// testimony returns what this node would testify now. The error is
// errUnwitnessed in a log that has no epoch yet, and errIncomparable where the
// digest has no base.
func (p *partition) testimony() (Testimony, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	d, based := p.world.Digest()
	t := Testimony{Epoch: p.world.Epoch(), Position: p.world.Applied(), Digest: d}
	switch {
	case t.Epoch == 0:
		return t, errUnwitnessed
	case p.world.Behind():
		// It reads again what it left. What ended that is in the log, or the next
		// pulse will find that it is not.
		return t, errBehindWitness
	case !based:
		return t, errIncomparable
	}
	return t, nil
}

// testify returns once the witness covers at, which this node applied in epoch,
// and agrees with this node's history. Callers at the same time share one
// operation: who comes while one is under way waits for the next.
//
// It returns nil without a witness, errUnwitnessed if it can't be asked,
// errBehindWitness if this node can't compare itself with it, and an
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
		err := p.raise(ctx)
		p.testified.mu.Lock()
		close(p.testified.running)
		p.testified.running = nil
		p.testified.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// raise raises the witness to what this node has applied.
func (p *partition) raise(ctx context.Context) error {
	t, err := p.testimony()
	if err != nil {
		return err
	}
	return p.raiseTo(ctx, t)
}

// raiseTo raises the witness to t. It takes the place of what this node has
// compared with its own history, and of nothing else: the evidence of another
// history may be in nobody's hands but the witness's.
func (p *partition) raiseTo(ctx context.Context, t Testimony) error {
	for from, life := p.testified.compared(); ; {
		kept, err := p.n.witness.Raise(ctx, p.index, from, t)
		switch {
		case err != nil:
			p.n.stats.witnessErrors.Add(1)
			return fmt.Errorf("%w: %w", errUnwitnessed, err)
		case kept == t:
			p.testified.note(life, kept)
			return nil
		case kept.Epoch != t.Epoch && p.leftEpoch(kept.Epoch):
		case mutant.On(mutant.WitnessRaisedUncompared) && kept.Epoch == t.Epoch && kept.Position < t.Position:
		default:
			if err := p.agree(ctx, kept); err != nil || kept.Epoch != t.Epoch || kept.Position >= t.Position {
				return err
			}
		}
		from = kept
	}
}

// agree compares what the witness keeps with this node's history. If the
// witness is ahead, that takes until this node has come there too.
func (p *partition) agree(ctx context.Context, kept Testimony) error {
	if last, _ := p.testified.compared(); kept == last && uint64(kept.Epoch) == p.epoch.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.n.cfg.Settings.Lease)
	defer cancel()
	if err := p.until(ctx, func() bool {
		return p.applied.Load() >= uint64(kept.Position) || p.epoch.Load() != uint64(kept.Epoch)
	}); err != nil {
		return fmt.Errorf("%w, at %d: %w", errBehindWitness, kept.Position, err)
	}
	p.mu.RLock()
	last, life := p.testified.compared()
	same, behind := p.world.Epoch() == kept.Epoch, p.world.Behind()
	own, known := p.world.DigestAt(kept.Position)
	oldest, digest, based := p.world.OldestDigest()
	p.mu.RUnlock()
	switch {
	case !same && p.leftEpoch(kept.Epoch):
		return errUnwitnessed // an epoch began meanwhile: ask again
	case !same && behind:
		return errBehindWitness // this node began anew meanwhile
	case !same:
		return p.contradicted(kept, "the witness knows epoch %s, which this log does not", kept.Epoch)
	case known && own != kept.Digest && !mutant.On(mutant.WitnessDigestIgnored):
		return p.contradicted(kept, "the witness keeps digest %s there, this node computed %s", kept.Digest, own)
	case known:
		p.testified.note(life, kept)
		return nil
	case kept.Epoch == last.Epoch && kept.Position <= last.Position, mutant.On(mutant.OldWitnessTrusted):
		return nil // it fell behind what was compared before
	case !based || kept.Position > oldest || uint64(oldest-kept.Position) > mostTraced:
		return fmt.Errorf("%w: it is at %d", errIncomparable, kept.Position)
	}
	// This node has forgotten its digest there, or restarted behind it. If the
	// histories are one, the log's own records lead from there to what it knows.
	switch traced, err := p.trace(ctx, kept, oldest); {
	case err != nil:
		return fmt.Errorf("%w: it is at %d: %w", errIncomparable, kept.Position, err)
	case traced != digest:
		return p.contradicted(kept, "the witness's digest there leads to %s at %d, this node computed %s", traced, oldest, digest)
	}
	p.testified.note(life, kept)
	return nil
}

// mostTraced bounds how many records are read for one comparison.
const mostTraced = 1 << 20

// trace returns the digest that follows at a position from what the witness
// keeps.
func (p *partition) trace(ctx context.Context, kept Testimony, to events.Position) (events.Digest, error) {
	p.n.stats.traced.Add(1)
	d := kept.Digest
	err := p.log.Read(ctx, kept.Position+1, to, func(batch []events.Delivery) error {
		for i := range batch {
			d = d.Next(batch[i].ID)
		}
		return nil
	})
	return d, err
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
	ctx, cancel := context.WithTimeout(ctx, p.n.cfg.Settings.Lease)
	defer cancel()
	p.confirmBy(ctx, number, s, epoch, r, p.raise)
}

// confirmBy is confirm with its own way to raise the witness to r, until ctx
// ends.
func (p *partition) confirmBy(ctx context.Context, number uint64, s start, epoch events.Epoch, r events.Position, raise raising) {
	if p.n.witness != nil {
		switch err := p.allowed(ctx, s, epoch, r, raise); {
		case errors.Is(err, errUnwitnessed):
			p.n.stats.unwitnessed.Add(1)
		case errors.Is(err, errIncomparable):
			p.doubt(err.Error())
			return
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
			if err := p.agree(ctx, before); err != nil && !errors.Is(err, errUnwitnessed) {
				return err
			}
		case !p.leftEpoch(before.Epoch):
			return p.contradicted(before, "the witness knows epoch %s, which this log does not", before.Epoch)
		}
	}
	if p.testified.covers(epoch, r) {
		return nil
	}
	return raise(ctx)
}

// doubt is told of every pulse that proves nothing, because this node's history
// can't be compared with the witness's or has no base. A member that knows more
// may help, by its next pulse. Else nobody is left who could tell a changed
// history, and a new epoch is what puts an end to it.
func (p *partition) doubt(why string) {
	now := p.n.clock.Waiter() | 1
	since := p.doubting.Load()
	switch {
	case since == 0:
		p.doubting.CompareAndSwap(0, now)
	case now-since >= 2*int64(p.n.cfg.Settings.PulseInterval()) && p.doubting.CompareAndSwap(since, 0):
		p.openEpoch(why)
	}
}

// raising raises the witness.
type raising func(ctx context.Context) error

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
		p.doubting.Store(0)
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
