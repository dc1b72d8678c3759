package node

import (
	"context"
	"errors"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// A pulse is read back from the log to prove that everything in front of it
// has been applied. Where the log accepts it only right behind the last record
// that this node has applied, its acknowledgement proves the same, a delivery
// earlier:
//
//  1. the node has applied up to record X at 41, in every tier;
//  2. it publishes a pulse for 42, on condition that X at 41 is the last;
//  3. the log says yes: nothing stands between X and the pulse, and the pulse
//     itself kills no copy.
//
// Position and identity of X are what following a log rests on as well (it
// begins at the last applied record, inclusive). X may also be such a pulse,
// which has not come back yet: there is nothing to apply of it. What position
// and identity can't tell, a
// history that parted and met again in X, the witness tells by its digest: the
// one at 42 follows from the one at 41 and the pulse's identity.
//
// Only pulses for strong reads take this way, of a node that has joined: on a
// log where others write, too, it often ends in a refusal and a second attempt.

// shortcut is what is known of earlier ones. Whoever holds inFlight uses it.
type shortcut struct {
	refused int64 // when the last refusal came, in waiter time
	// tip is the end of the log after the last one.
	tip end
}

// shortcutPause is how long the next pulses go the usual way after a refusal.
const shortcutPause = 10 * time.Millisecond

// end is where the log ends, as far as this node knows.
type end struct {
	epoch  events.Epoch
	last   events.Mark
	digest events.Digest
	whole  bool // digest is known
	// base is the last record in front of last that can kill copies.
	base events.Position
}

// shortcutFrom returns where the log must end for the shortcut, false if it is
// not to be tried now.
func (p *partition) shortcutFrom() (e end, ok bool) {
	if p.fresh.Load() == never {
		return end{}, false
	}
	if r := p.short.refused; r != 0 && p.n.clock.Waiter()-r < int64(shortcutPause) {
		return end{}, false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	e.epoch, e.last = p.world.Epoch(), p.world.Mark()
	e.digest, e.whole = p.world.Digest()
	e.base = e.last.Position
	if t := p.short.tip; t.epoch == e.epoch && t.last.Position > e.last.Position && t.base <= e.last.Position {
		e = t
	}
	// The world may be ahead of the tiers.
	return e, e.epoch != 0 && e.whole && (events.Position(p.applied.Load()) >= e.base || mutant.On(mutant.ShortcutAheadOfTiers))
}

// takeShortcut publishes pulse number behind e and, once the log has said yes,
// extends fresh-as-of by it. It reports false if the log ends elsewhere.
func (p *partition) takeShortcut(ctx context.Context, number uint64, s start, e end) (bool, error) {
	at, id, err := p.out.AppendNext(ctx, e.last, p.pulseNow(number))
	switch {
	case errors.Is(err, events.ErrNotNext) && errors.Is(err, events.ErrNotLanded):
		p.short.refused = p.n.clock.Waiter()
		return false, nil
	case err != nil:
		return true, err
	case at != e.last.Position+1:
		return true, nil // what it means will show when it is read back
	}
	p.n.stats.shortcuts.Add(1)
	p.short.tip = end{
		epoch: e.epoch, last: events.Mark{Position: at, ID: id}, digest: e.digest.Next(id), whole: true, base: e.base,
	}
	if p.n.witness == nil {
		p.extend(number, e.epoch, s.holder)
		return true, nil
	}
	p.confirmBy(ctx, number, s, e.epoch, at, func(ctx context.Context) error {
		return p.raiseTo(ctx, Testimony{Epoch: e.epoch, Position: at, Digest: p.short.tip.digest})
	})
	return true, nil
}
