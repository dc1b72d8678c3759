package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// pulses are a partition's signs of life: one in flight, one gathering.
type pulses struct {
	mu sync.Mutex
	// begun is the number of the last pulse whose publish has begun; wanted is
	// the highest number that somebody waits for.
	begun, wanted uint64
	// started holds what was noted when a pulse began, until it is applied.
	started map[uint64]start
	// applied is the number of the last pulse that was applied and agreed with
	// the witness.
	applied uint64
	// heard is when a pulse of another member was last received, in waiter
	// time.
	heard map[events.Incarnation]int64
	// acked is how far a member has confirmed, in the epoch ackedIn.
	acked   map[events.Incarnation]events.Position
	ackedIn events.Epoch
	// kick tells the loop that wanted has risen.
	kick chan struct{}
	// inFlight holds a token while a pulse is on its way.
	inFlight chan struct{}
	// void: pulses that began at or before this number prove nothing: the
	// history changed after they began.
	void uint64
}

// start is what a node notes before the first attempt of a pulse.
type start struct {
	holder int64 // C1: before the first attempt; retries keep it
	// witness is what the witness said after holder was noted (H3).
	witness Testimony
	read    bool
}

func (q *pulses) init() {
	q.started = make(map[uint64]start)
	q.heard = make(map[events.Incarnation]int64)
	q.acked = make(map[events.Incarnation]events.Position)
	q.kick = make(chan struct{}, 1)
	q.inFlight = make(chan struct{}, 1)
}

// ask returns the number of a pulse that has not begun yet; see [partition.lead].
// A strong read may share that one and no earlier one (P51).
func (q *pulses) ask() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	number := q.begun + 1
	if q.begun > q.applied && mutant.On(mutant.SharePulseAlreadySent) {
		number = q.begun
	}
	q.wanted = max(q.wanted, number)
	return number
}

func (q *pulses) begin() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begun++
	return q.begun
}

func (q *pulses) note(number uint64, s start) {
	q.mu.Lock()
	q.started[number] = s
	q.mu.Unlock()
}

// take returns what was noted for number, and forgets it and all before it. A
// pulse that was voided has nothing.
func (q *pulses) take(number uint64) (start, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, ok := q.started[number]
	for k := range q.started {
		if k <= number {
			delete(q.started, k)
		}
	}
	return s, ok && number > q.void
}

func (q *pulses) done(number uint64) {
	q.mu.Lock()
	q.applied = max(q.applied, number)
	q.mu.Unlock()
}

func (q *pulses) count() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.applied
}

// onTheWay reports whether a pulse is.
func (q *pulses) onTheWay() bool { return len(q.inFlight) > 0 }

// voided reports whether the pulse began before the history changed.
func (q *pulses) voided(number uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return number <= q.void
}

// forget voids every pulse that has begun.
func (q *pulses) forget() {
	if mutant.On(mutant.PulsesNotVoided) {
		return
	}
	q.mu.Lock()
	q.void = q.begun
	clear(q.started)
	clear(q.heard)
	clear(q.acked)
	q.mu.Unlock()
}

func (q *pulses) seen(i events.Incarnation, waiter int64) {
	q.mu.Lock()
	q.heard[i] = waiter
	q.mu.Unlock()
}

// confirmed notes that a member has applied at in epoch.
func (q *pulses) confirmed(i events.Incarnation, epoch events.Epoch, at events.Position) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ackedIn != epoch {
		q.ackedIn = epoch
		clear(q.acked)
	}
	q.acked[i] = max(q.acked[i], at)
}

// hasConfirmed reports whether a member has confirmed at in epoch.
func (q *pulses) hasConfirmed(i events.Incarnation, epoch events.Epoch, at events.Position) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ackedIn == epoch && q.acked[i] >= at
}

// lastHeard returns when each member was last heard in waiter time.
func (q *pulses) lastHeard() map[events.Incarnation]int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.heard)
}

func (q *pulses) unmet() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wanted > q.begun
}

// beat publishes pulses, every fifth of the lease and when asked, one at a
// time.
func (p *partition) beat(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-p.pulses.kick:
			if !p.pulses.unmet() {
				continue
			}
		}
		if p.n.leaving.Load() {
			return nil
		}
		select {
		case p.pulses.inFlight <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		landed := p.pulse(ctx, false)
		<-p.pulses.inFlight
		if landed {
			p.keepBracketsLogged(ctx)
			p.forgetTheDead()
		}
		timer.Reset(p.n.cfg.Settings.PulseInterval())
	}
}

// lead sees to it that the pulse that the caller asked for begins: by itself,
// which spares the machine the change to another goroutine, or behind the one
// on its way.
func (p *partition) lead(ctx context.Context) {
	select {
	case p.pulses.inFlight <- struct{}{}:
		if p.pulses.unmet() && !p.n.leaving.Load() {
			p.pulse(ctx, true)
		}
		<-p.pulses.inFlight
	default:
	}
	if p.pulses.unmet() {
		select {
		case p.pulses.kick <- struct{}{}:
		default:
		}
	}
}

// pulse publishes one pulse, waits for the log's answer, and reports whether
// it landed; if short, it may take the shortcut. The caller holds inFlight.
func (p *partition) pulse(ctx context.Context, short bool) bool {
	// While the answer is out the committer keeps trying under the same id;
	// but the next pulse, with a later start, is worth more than this one.
	ctx, cancel := context.WithTimeout(ctx, p.n.cfg.Settings.PulseInterval())
	defer cancel()
	number := p.pulses.begin()
	s := start{holder: p.n.clock.Now().Holder}
	if p.n.witness != nil {
		if t, err := p.n.witness.Read(ctx, p.index); err == nil {
			s.witness, s.read = t, true
		} else {
			p.n.stats.witnessErrors.Add(1)
		}
	}
	p.pulses.note(number, s)
	done, err := false, error(nil)
	if short {
		if e, ok := p.shortcutFrom(); ok {
			done, err = p.takeShortcut(ctx, number, s, e)
		}
	}
	if !done {
		_, _, err = p.out.Append(ctx, p.pulseNow(number))
	}
	if err != nil {
		p.n.stats.pulsesFailed.Add(1)
		if errors.Is(err, events.ErrNotLanded) && ctx.Err() == nil {
			p.n.logger.Warn("pulse was refused by the log", "partition", p.index, "error", err)
		}
		return false
	}
	p.n.stats.pulses.Add(1)
	return true
}

// forgetTheDead drops the members whose lease ran out long ago by this node's
// own clock: those that ended without a farewell. One that pulses again joins
// anew, behind its pulse, and has served nothing in between.
func (p *partition) forgetTheDead() {
	before := p.n.clock.Waiter() - 4*int64(p.n.cfg.Settings.LeaseWait())
	if mutant.On(mutant.SilentForgotten) {
		before = p.n.clock.Waiter()
	}
	if mutant.On(mutant.DeadRemembered) {
		return
	}
	heard := hearing{last: p.pulses.lastHeard(), since: p.n.listening.Load()}
	p.mu.Lock()
	defer p.mu.Unlock()
	var dead []events.Incarnation
	for m := range p.world.Members() {
		if m.Incarnation != p.n.incarnation && heard.of(m.Incarnation) < before {
			dead = append(dead, m.Incarnation)
		}
	}
	for _, i := range dead {
		p.world.Forget(i)
	}
}

func (p *partition) pulseNow(number uint64) *events.Pulse {
	p.mu.RLock()
	defer p.mu.RUnlock()
	// What the world has taken in and the disk has not yet is not applied: a
	// writer counts on every tier of a member that reports a position (P48).
	applied := events.Position(p.applied.Load())
	if mutant.On(mutant.PulseAheadOfTiers) {
		applied = p.world.Applied()
	}
	c := &events.Pulse{
		Node: p.n.cfg.Node, Incarnation: p.n.incarnation, Number: number,
		Epoch: p.world.Epoch(), Applied: applied,
		Addresses: p.n.cfg.Addresses, Weight: p.n.cfg.Weight,
		Settled: p.world.Settled() || p.world.Epoch() != 0 && p.strangersUntil.Load() <= p.n.clock.Waiter(),
	}
	if d, known := p.world.DigestAt(applied); known {
		c.Digest = d
		c.Before, _ = p.world.DigestAt(applied - 1)
	}
	return c
}

// pulseApplied is told by the apply loop that everything in front of an own
// pulse has been applied. What it returns ends the following of the log.
func (p *partition) pulseApplied(c ownPulse) error {
	s, ok := p.pulses.take(c.number)
	if !ok || p.n.leaving.Load() {
		return nil
	}
	if err := p.world.Diverged(); err != nil { // the apply loop's own world
		return err
	}
	epoch := events.Epoch(p.epoch.Load())
	if epoch == 0 {
		const why = "no record of an epoch is left in the log"
		if _, whole := p.world.Digest(); whole {
			p.openEpoch(why) // nothing was trimmed: there was none
		} else {
			p.doubt(why) // a member may know it
		}
		return nil
	}
	if p.world.Behind() && !mutant.On(mutant.BehindForGood) {
		// What came after the present epoch stood in the log before this pulse did.
		return &events.HistoryError{At: c.position, Evidence: fmt.Sprintf("the log has lost what ended epoch %s", epoch)}
	}
	if _, based := p.world.Digest(); !based && !mutant.On(mutant.BaselessIsFresh) {
		p.doubt("nobody is left whose digest reaches back beyond the log's beginning")
		return nil
	}
	if mutant.On(mutant.LeaseFromReceipt) {
		s.holder = p.n.clock.Now().Holder
	}
	if p.pulses.count() >= c.number {
		return nil // its acknowledgement has proved as much
	}
	if p.n.witness == nil || mutant.On(mutant.FreshBeforeWitness) {
		p.extend(c.number, epoch, s.holder)
		return nil
	}
	p.n.crew.Go(func() { p.confirm(p.n.life, c.number, s, epoch, c.position) })
	return nil
}

// openEpoch publishes an EpochChange. The loops go on meanwhile; what they
// hold dies when it is applied.
func (p *partition) openEpoch(why string) {
	id, err := events.NewEpoch(p.n.deps.Random)
	if err != nil {
		p.n.logger.Error("no randomness for an epoch", "error", err)
		return
	}
	p.n.crew.Go(func() {
		ctx, cancel := context.WithTimeout(p.n.life, p.n.cfg.Settings.Lease)
		defer cancel()
		at, _, err := p.out.Append(ctx, &events.EpochChange{Epoch: id, Why: string(p.n.cfg.Node) + ": " + why})
		p.n.logger.Warn("opened a new epoch", "partition", p.index, "epoch", id.String(), "position", at, "why", why, "error", err)
	})
}

// worldEpoch returns the partition's epoch as the world has it.
func (p *partition) worldEpoch() events.Epoch {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.world.Epoch()
}

// behind returns the members that had a pulse before at and whose pulses don't
// prove that they have applied it.
func (p *partition) behind(at events.Position) []coherence.Member {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var out []coherence.Member
	for m := range p.world.Members() {
		// One whose first pulse stands behind the write serves nothing before
		// it has applied it (the join gate).
		if m.Incarnation != p.n.incarnation && m.First <= at && !p.world.Proves(m, at) {
			out = append(out, m)
		}
	}
	return out
}
