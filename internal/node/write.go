package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Put writes a value: one record in the log, a fence of the key, and a copy
// born at the record's position. It returns once the record is in the log and
// applied here, or as o.Concern demands, with a token of the write.
//
// Errors: those of events.Log.Publish ([events.ErrNotLanded],
// [events.ErrIndeterminate]), [ErrTooLarge], [events.ErrInvalid]. If the
// record landed and only a wait failed, the *[Error] has its position.
func (n *Node) Put(ctx context.Context, key string, payload []byte, o PutOptions) (consistency.Token, error) {
	e, err := n.encode(key, payload, o)
	if err != nil {
		return consistency.Token{}, err
	}
	p := n.of(key)
	c := &events.Put{Key: key, Version: o.Version}
	if len(e) <= n.cfg.Settings.InlineMax {
		c.Entry = e
	}
	point, err := p.write(ctx, "put", key, o.Concern, c)
	n.landedPut(ctx, p, point, e, c)
	return consistency.Token{}.With(p.index, point), err
}

// encode makes an entry of a value that is to be put.
func (n *Node) encode(key string, payload []byte, o PutOptions) (tiers.Entry, error) {
	if err := n.check(key, payload); err != nil {
		return nil, &Error{Op: "put", Key: key, Err: err}
	}
	h := n.header(n.policies.of(key), key, o.TTL, o.Tags, o.Codec, o.Version, o.Flags)
	e, err := tiers.Append(make([]byte, 0, tiers.EncodedLen(&h, len(payload))), &h, payload)
	if err != nil {
		return nil, &Error{Op: "put", Key: key, Err: err}
	}
	return e, nil
}

// landedPut carries a value further whose record landed at point, if it did.
func (n *Node) landedPut(ctx context.Context, p *partition, point consistency.Point, e tiers.Entry, c *events.Put) {
	if point.Position == 0 || point.Epoch == 0 {
		return
	}
	// The record's bytes were e's; its copies are made. Where this Put lost to
	// a higher row version, the fences say so.
	own := e
	if c.Entry != nil {
		own = append(tiers.Entry(nil), e...)
	}
	own.Stamp(point.Epoch, point.Position)
	n.spread(ctx, p, own, c)
}

// spread puts a written value where its record did not carry it: into L2, and,
// if it did not ride inline, into the nearer tiers too.
func (n *Node) spread(ctx context.Context, p *partition, e tiers.Entry, c *events.Put) {
	if c.Version.Known && !p.won(c) {
		return
	}
	// The write has waited for its witness; its copies are worth no longer wait.
	ctx, cancel := context.WithTimeout(ctx, unwitnessedFor)
	defer cancel()
	if c.Entry == nil {
		if !n.fill(p, e, n.policies.of(c.Key), 0) {
			return
		}
		n.replicate(p, e)
	}
	n.keeper.share(ctx, p, ending(e, n.clock.Now().Unix, n.policies.of(c.Key).SharedTTL))
}

// won reports whether no Put of a higher row version is known.
func (p *partition) won(c *events.Put) bool {
	if p.blind.Load() {
		return false
	}
	v, known, err := p.n.disk.Version(c.Key)
	return err == nil && known && v == c.Version.N
}

// Invalidate fences what inv's scope covers: one record for each partition
// that it concerns. It returns once the records are in the log and applied
// here, or as o.Concern demands.
//
// If it fails for some of several partitions, the error says so and the token
// holds the others; repeating the call is safe.
func (n *Node) Invalidate(ctx context.Context, inv events.Invalidate, o InvalidateOptions) (consistency.Token, error) {
	return n.InvalidateMany(ctx, []events.Invalidate{inv}, o)
}

// SplitScope returns what each of n partitions has to fence of inv: its own
// keys, and every tag, prefix, glob and All. Nil: nothing.
func SplitScope(inv events.Invalidate, n int) []*events.Invalidate {
	out := make([]*events.Invalidate, n)
	if n == 1 {
		out[0] = &inv
		return out
	}
	if inv.Scope.Broad() {
		for i := range out {
			if i > 0 && mutant.On(mutant.BroadInOnePartition) {
				break
			}
			c := inv
			c.Scope.Keys = nil
			out[i] = &c
		}
	}
	for _, k := range inv.Scope.Keys {
		i := Partition(k, n)
		if out[i] == nil {
			c := inv
			c.Scope = events.Scope{}
			out[i] = &c
		}
		out[i].Scope.Keys = append(out[i].Scope.Keys, k)
	}
	return out
}

// write publishes changes in one record and waits until it is applied here, and
// everywhere if the concern says so. The point is set as soon as the record has landed,
// whatever comes after.
func (p *partition) write(ctx context.Context, op, key string, concern Concern, changes ...events.Change) (consistency.Point, error) {
	fail := func(at events.Position, err error, hint string) error {
		return &Error{Op: op, Key: key, Position: at, Err: err, Hint: hint}
	}
	changed := func() (consistency.Point, error) {
		return consistency.Point{}, fail(0, &events.PublishError{Outcome: events.ErrIndeterminate,
			Cause: events.ErrHistoryChanged}, "the log's history changed under the write; write again")
	}
	if p.n.leaving.Load() {
		return consistency.Point{}, fail(0, &events.PublishError{Outcome: events.ErrNotLanded, Cause: ErrNotServing}, "")
	}
	wide, asked := concern == Everywhere && !mutant.On(mutant.EverywhereIsLogged), false
	if wide && p.n.peers != nil {
		changes, asked = events.Confirms(changes)
	}
	epoch := events.Epoch(p.epoch.Load())
	began := p.n.clock.Waiter()
	at, id, err := p.out.Append(ctx, changes...)
	if err != nil {
		return consistency.Point{}, fail(0, err, hintFor(err))
	}
	p.n.stats.writes.Add(1)
	if err := p.until(ctx, func() bool { return p.applied.Load() >= uint64(at) || mutant.On(mutant.ReturnBeforeApplied) }); err != nil {
		if events.Epoch(p.epoch.Load()) != epoch {
			return changed() // at may be a place of a history that is over
		}
		return consistency.Point{Epoch: epoch, Position: at},
			fail(at, err, "the write is durable in the log; only this node has not applied it in time")
	}
	// The record at the position that we were told must be ours: if the log
	// lost its tail meanwhile, another one may stand there (H2). The epoch is
	// that in which it was applied, or a value of a lost history would be
	// stamped as one of this.
	point := p.own.at(id.Counter)
	if point.Position != at && !mutant.On(mutant.OwnRecordNotChecked) && !mutant.On(mutant.ReturnBeforeApplied) {
		return changed()
	}
	if mutant.On(mutant.OwnRecordNotChecked) || mutant.On(mutant.ReturnBeforeApplied) {
		point = consistency.Point{Epoch: events.Epoch(p.epoch.Load()), Position: at}
	}
	p.n.audit.follow(p, at, began)
	var waiting inquiry
	if wide {
		if waiting = p.inquire(at); !asked {
			p.ask(waiting)
		}
	}
	// Should the log lose its tail now, the witness knows that there was one
	// (H6). That need not wait for the members: one that served by the pulse of a
	// lost history would have to raise the witness as well, and who comes second
	// finds the other there (H3).
	witnessing, cancel := context.WithTimeout(ctx, unwitnessedFor)
	defer cancel()
	switch err := p.testify(witnessing, point.Epoch, at); {
	case err == nil, mutant.On(mutant.WriteUnwitnessed):
	case errors.Is(err, events.ErrHistoryChanged):
		return point, fail(at, &events.PublishError{ID: id, Outcome: events.ErrIndeterminate, Cause: err},
			"the log's history changed under the write; write again")
	case ctx.Err() != nil:
		return point, fail(at, ctx.Err(), "the write is in the log, but not witnessed")
	case errors.Is(err, errBehindWitness) && !mutant.On(mutant.BehindWitnessIgnored):
		// Among the records that this node lacks may be the pulse of a member
		// that the write did not wait for (H3).
		return point, fail(at, err, "the write is in the log; whether it is everywhere is not known yet")
	default:
		p.n.stats.unwitnessed.Add(1)
	}
	if wide {
		if err := p.everywhere(ctx, waiting, asked); err != nil {
			return point, fail(at, err, "the write is in the log; some members may still serve the old value")
		}
	}
	return point, nil
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, events.ErrIndeterminate):
		return "the write may take effect later; invalidating again is safe"
	case errors.Is(err, events.ErrNotLanded):
		return "nothing happened; try again"
	}
	return ""
}

// inquiry is what an Everywhere write waits for, and what it knew of the members
// when its record had landed.
type inquiry struct {
	at    events.Position
	epoch events.Epoch
	heard hearing
}

// inquire begins to wait for the members to apply at, which is applied here.
func (p *partition) inquire(at events.Position) inquiry {
	// Only what was heard before the write counts: a member that applies a
	// pulse of its own from behind it has applied the write too, and one whose
	// pulses go on while it applies nothing must not hold the write up (P49).
	return inquiry{at: at, epoch: p.worldEpoch(), heard: hearing{last: p.pulses.lastHeard(), since: p.n.listening.Load()}}
}

// ask asks the members to confirm.
func (p *partition) ask(w inquiry) {
	if p.n.peers == nil {
		return
	}
	if err := p.n.peers.Ask(Question{Partition: p.index, Epoch: w.epoch, At: w.at, From: p.n.incarnation}); err != nil {
		p.n.logger.Debug("question was not sent; pulses will answer it", "error", err)
	}
}

// unasked is how long a write waits for the confirmations that its record asked
// for before it asks in a message: an older build does not know that it was asked,
// and one that catches up does not answer.
const unasked = 5 * time.Millisecond

// everywhere waits until every member that had a pulse before w.at has applied
// it, or can't serve any more: its lease, counted from when its last pulse was
// received here, has passed on the slowest clock (C2, C3). With asked the record
// itself asks the members to confirm.
//
// No view of the membership has to be right for this: a node that serves at a
// time t had a pulse, sent after t - lease, applied. If that was sent after
// the write landed it stands behind the write, which the node then has applied
// too.
func (p *partition) everywhere(ctx context.Context, w inquiry, asked bool) error {
	epoch, at, heard := w.epoch, w.at, w.heard
	patience := p.n.clock.Waiter() + int64(unasked)
	for {
		if mutant.On(mutant.PulsesProlong) {
			heard.last = p.pulses.lastHeard()
		}
		moved := p.waiters.next()
		wait, pending := p.unconfirmed(epoch, at, heard)
		if len(pending) == 0 {
			return nil
		}
		if p.worldEpoch() != epoch {
			return &events.PublishError{Outcome: events.ErrIndeterminate, Cause: events.ErrHistoryChanged}
		}
		if asked {
			if left := patience - p.n.clock.Waiter(); left > 0 {
				wait = min(wait, time.Duration(left))
			} else {
				asked = false
				p.ask(w)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-moved:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("not confirmed by %v: %w", pending, ctx.Err())
		case <-p.n.stopped:
			timer.Stop()
			return ErrNotServing
		}
		timer.Stop()
	}
}

// hearing is what an Everywhere write knew of the members when it began to
// wait.
type hearing struct {
	last map[events.Incarnation]int64 // in waiter time
	// since is when this node began to listen.
	since int64
}

// of returns when a member was heard. Who was heard only before this node
// listened counts as heard when it began to.
func (h hearing) of(i events.Incarnation) int64 {
	if at, ok := h.last[i]; ok {
		return at
	}
	if mutant.On(mutant.UnheardIsGone) {
		return math.MinInt64 / 2
	}
	return h.since
}

// unconfirmed returns the members that may still serve what was before at, and
// how long until the next of them can't.
func (p *partition) unconfirmed(epoch events.Epoch, at events.Position, heard hearing) (wait time.Duration, pending []events.NodeID) {
	now := p.n.clock.Waiter()
	if mutant.On(mutant.WaiterJumps) {
		now = p.n.clock.Now().Holder
	}
	lease := int64(p.n.cfg.Settings.LeaseWait())
	wait = p.n.cfg.Settings.LeaseWait()
	if left := p.strangersUntil.Load() - now; left > 0 && !p.settled() && !mutant.On(mutant.StrangersForgotten) {
		wait = time.Duration(left)
		pending = append(pending, "members from before the epoch")
	}
	for _, m := range p.behind(at) {
		if p.pulses.hasConfirmed(m.Incarnation, epoch, at) {
			continue
		}
		if mutant.On(mutant.MembersByLiveness) && now-heard.of(m.Incarnation) > 2*int64(p.n.cfg.Settings.PulseInterval()) {
			continue
		}
		if left := heard.of(m.Incarnation) + lease - now; left > 0 {
			wait = min(wait, time.Duration(left))
			pending = append(pending, m.Node)
		}
	}
	return wait, pending
}

// settled reports whether a member has vouched that nobody holds a lease from
// before this epoch, and nobody can hold one by a pulse that was trimmed out of the
// log. Without one, a node that has just started or has just
// applied an epoch waits a lease's length before its first such write returns.
func (p *partition) settled() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.world.Settled() && p.world.Spans() >= int64(p.n.cfg.Settings.LeaseWait())
}

// Touch gives the copies of key that this node can reach a new expiry; a zero
// one means the longest that the domain allows. Their birth stays (P29), so a
// touch never revives what a fence has killed. It reports whether there was a
// live copy.
func (n *Node) Touch(ctx context.Context, key string, expiry time.Time) (bool, error) {
	r, err := n.Get(ctx, key, nil, ReadOptions{})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h := r.Entry.Header()
	latest := time.UnixMilli(n.clock.Now().Unix).Add(n.cfg.Settings.MaxTTL)
	if expiry.IsZero() || expiry.After(latest) {
		expiry = latest
	}
	h.Expiry, h.SoftExpiry = expiry, time.Time{}
	n.policies.of(key).stay(&h, n.cfg.Settings.MaxTTL)
	if mutant.On(mutant.TouchRenewsBirth) {
		h.Birth = events.Position(n.of(key).applied.Load())
	}
	e, err := tiers.Append(nil, &h, r.Entry.Payload())
	if err != nil {
		return false, &Error{Op: "touch", Key: key, Err: err}
	}
	p := n.of(key)
	if !n.fill(p, e, n.policies.of(key), 0) {
		return false, nil // it died meanwhile
	}
	n.keeper.share(ctx, p, ending(e, n.clock.Now().Unix, n.policies.of(key).SharedTTL))
	return true, nil
}
