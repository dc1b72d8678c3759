package node

import (
	"context"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/turn"
)

// Loads of a key run once in the whole domain (G10): the process that is
// granted the turn loads, the others wait for its announcement. A turn saves a
// load and nothing more. Every way in which turns may fail (two that are held
// at once, an announcement that is lost, a holder that dies) ends in a load
// too many or in a wait that a timer ends, because what a waiter takes is
// judged as any copy is.

const (
	// turnRounds bounds how often a load waits for others that turn out to be
	// of no use before it goes on by itself.
	turnRounds = 4
	// freshWait is how long a load waits for the first announcement in a bucket
	// before it looks again: the servers of a cluster tell each other a moment
	// later what a node listens to.
	freshWait = 250 * time.Millisecond
	// farewell bounds what is done about a turn once its load has ended.
	farewell = 2 * time.Second
	// mostCarried is the largest entry in bytes that an announcement carries
	// where no shared tier has it: a message takes 1 MiB at most.
	mostCarried = 768 << 10
)

// need is the position from which on a load may answer a reader (P26).
func (p *partition) need(epoch events.Epoch, fence coherence.Fence, l consistency.Level) events.Position {
	var at events.Position
	if !mutant.On(mutant.TurnJoinsOldLoad) {
		at = fence.Newest()
	}
	if t := l.Token().At(p.index); t.Epoch == epoch && !mutant.On(mutant.TurnJoinsBehindToken) {
		at = max(at, t.Position)
	}
	return at
}

// lapsed reports whether the node's lease has ended: then it may not take
// another's load for an answer (H8).
func (p *partition) lapsed() bool {
	return time.Duration(p.n.clock.Now().Holder-p.fresh.Load()) >= p.n.lease && !mutant.On(mutant.TurnUnderLapsedLease)
}

// held is a turn that this node holds, or nil for a load without one.
type held struct {
	n     *Node
	p     *partition
	claim turn.Claim
	// inShared and atOwner say where the turn may be held.
	inShared, atOwner bool
	// byShared: the last answer came from where inShared says.
	byShared bool

	mu      sync.Mutex
	timer   *time.Timer
	ended   bool
	lost    bool
	running sync.WaitGroup // an extension
}

// asking is a load on its way to its turn.
type asking struct {
	n   *Node
	p   *partition
	f   *flight
	h   *held
	ear *ear
	r   turn.Request
	// first is the answer to the first request, if that was made already.
	first *turn.Taken
}

// askTurn prepares the request for the turn to load f's key. Nil: the load
// takes none. Who got one calls await, once.
func (n *Node) askTurn(p *partition, key string, f *flight, fence coherence.Fence, o ReadOptions) *asking {
	if n.turns.line == nil || n.cfg.LoadAlone || o.LoadAlone || o.inVain && !mutant.On(mutant.TurnUnderLapsedLease) || f.epoch == 0 || !p.accompanied() || p.lapsed() {
		return nil
	}
	token := events.ID{Publisher: n.incarnation, Counter: n.turns.count.Add(1)}
	h := &held{n: n, p: p, claim: turn.Claim{Epoch: f.epoch, Key: key, Token: token, Since: f.birth}}
	from := fence.Newest()
	return &asking{
		n: n, p: p, f: f, h: h,
		ear: n.turns.listen(key), // before asking, or the answer's announcement could be missed
		r: turn.Request{
			Claim: h.claim, Need: p.need(f.epoch, fence, o.Level), From: from,
			Sure: max(from, events.Position(p.floor.Load())), For: n.cfg.Turn,
		},
	}
}

// await returns once this node is to load the key, with the turn that it
// holds for that or nil, or once another node's load has answered: then the
// flight has its value.
func (q *asking) await(ctx context.Context) (h *held, answered bool) {
	if q == nil {
		return nil, false
	}
	n, p, f, key := q.n, q.p, q.f, q.r.Key
	ctx, cancel := n.loadContext(ctx)
	defer cancel()
	defer n.turns.unlisten(key, q.ear)
	// Of those who ask together, one may begin to hear what another has missed.
	began, soon := n.clock.Waiter(), q.first != nil
	until := began // when the turn that is waited for ends, as far as is known
	defer func() {
		n.stats.turnNanos.Add(uint64(n.clock.Waiter() - began))
		if answered {
			n.stats.joinedFleet.Add(1)
		}
	}()
	for round := 0; round < turnRounds; {
		if p.lapsed() {
			break
		}
		q.r.Sure = max(q.r.From, events.Position(p.floor.Load()))
		a, err := q.take(ctx, time.Duration(until-n.clock.Waiter()))
		if err != nil {
			break
		}
		if a.Copy != nil && n.takeCopy(p, f, a.Copy) || a.Filled != nil && n.takeFilled(ctx, p, f, q.r.Need, a.Filled) {
			if a.Granted {
				q.h.end(turn.Kept, nil)
			}
			return nil, true
		}
		if a.Granted {
			n.stats.led.Add(1)
			q.h.keepUp()
			return q.h, false
		}
		if !a.Held {
			q.r.Anew = true // what is there is of no use to us
			round++
			continue
		}
		q.r.Anew = false
		until = n.clock.Waiter() + int64(a.Left)
		fresh, err := n.turns.line.Hear(ctx, turn.Bucket(key))
		soon = soon || fresh || err != nil
		if fresh {
			continue // the announcement may have been made before it could be heard
		}
		left := a.Left
		if soon {
			left, soon = min(left, freshWait), false
		}
		switch got := n.hear(ctx, q.ear, left); {
		case got == nil:
			if ctx.Err() != nil {
				return nil, false
			}
		case got.Since < q.r.Need: // not the one that is waited for
		case got.Outcome == turn.Unshared:
			return nil, false
		case got.Outcome == turn.Kept:
			if n.takeFilled(ctx, p, f, q.r.Need, got) || n.takeNear(ctx, p, f, key) {
				return nil, true
			}
			round++
		default:
			round++
		}
	}
	return nil, false
}

// take makes the next request, or returns the answer to one that was made.
func (q *asking) take(ctx context.Context, known time.Duration) (turn.Answer, error) {
	if t := q.first; t != nil {
		q.first = nil
		return t.Answer, t.Err
	}
	return q.n.takeTurn(ctx, q.p, q.h, q.r, known)
}

// hear waits for an announcement. Nil: none has come, and the turn that it
// would end has ended or will have to be looked at.
func (n *Node) hear(ctx context.Context, e *ear, left time.Duration) *turn.Filled {
	if mutant.On(mutant.TurnWithoutRecheck) {
		left = n.cfg.LoadTimeout
	}
	timer := time.NewTimer(max(left, time.Millisecond))
	defer timer.Stop()
	select {
	case f := <-e.heard:
		return f
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// takeFilled answers f with another node's load, if that may answer it: it
// began late enough, nothing that it is made of was fenced, and both nodes have
// applied the same history up to its birth, so that no witness is needed (H5).
func (n *Node) takeFilled(ctx context.Context, p *partition, f *flight, need events.Position, a *turn.Filled) bool {
	if a.Outcome != turn.Kept || a.Epoch != f.epoch || a.Since < need || a.At == 0 || len(a.Entry) == 0 {
		return false
	}
	made := consistency.Level{} // at least, or it would not have been announced
	if a.Nested && !made.Covers(f.level) {
		return false
	}
	e, err := tiers.Parse(a.Entry)
	if err != nil || e.Key() != a.Key || e.Epoch() != f.epoch || e.Birth() > a.At {
		n.stats.corrupt.Add(1)
		return false
	}
	waiting, cancel := context.WithTimeout(ctx, n.cfg.WaitTimeout)
	defer cancel()
	if p.until(waiting, func() bool { return p.applied.Load() >= uint64(a.At) }) != nil {
		return false
	}
	lease := p.note()
	p.mu.RLock()
	digest, known := p.world.DigestAt(a.At)
	proven := known && digest == a.Digest && p.world.Epoch() == a.Epoch
	p.mu.RUnlock()
	if !proven && !mutant.On(mutant.TurnUnproven) {
		return false
	}
	// The key's own fences were minded by need: who came after a later one
	// looks at since.
	if e.Expired(n.clock.Now().Unix) || p.judge(e, coherence.Fence{}) != coherence.Alive && !mutant.On(mutant.TurnIgnoresTags) {
		return false
	}
	// H8, at this moment too: a partition that begins anew has forgotten fences.
	if !p.still(lease, consistency.Level{}) && !mutant.On(mutant.TurnUnderLapsedLease) {
		return false
	}
	f.answer(e, a.Since, FromOrigin)
	if a.Nested {
		f.nested, f.level = true, made
	}
	n.fill(p, f.entry, f.policy, f.skip)
	return true
}

// takeCopy answers f with a copy that came from the shared tier, as a read
// would.
func (n *Node) takeCopy(p *partition, f *flight, e tiers.Entry) bool {
	lease := p.note()
	fence, _ := p.lookupDisk(e.Key(), nil)
	now := n.clock.Now()
	if f.skip.has(SkipSharedRead) || f.refresh && e.Due(now.Unix) {
		return false
	}
	if p.servable(e, now, fence) && p.still(lease, consistency.Level{}) {
		f.answer(e, f.birth, FromShared)
		if !f.skip.has(SkipMemoryWrite) {
			_ = n.memory.Put(ending(f.entry, now.Unix, f.policy.MemoryTTL))
		}
		n.stats.sharedHits.Add(1)
		return true
	}
	return false
}

// takeNear answers f from the tiers, as a read would.
func (n *Node) takeNear(ctx context.Context, p *partition, f *flight, key string) bool {
	lease := p.note()
	r, ok, _ := n.lookup(ctx, p, key, nil, &ReadOptions{policy: f.policy, Skip: f.skip}, nil)
	if !ok || f.refresh && r.Entry.Due(n.clock.Now().Unix) || !p.still(lease, consistency.Level{}) {
		return false
	}
	f.answer(r.Entry, f.birth, r.Source)
	return true
}

// answer gives f a value that this node has not loaded. A copy that a read
// could be served counts as loaded now, since f's birth.
func (f *flight) answer(e tiers.Entry, since events.Position, from Source) {
	f.entry, f.since, f.source = append(tiers.Entry(nil), e...), since, from
}

// keepUp prolongs the turn while its load runs, for as long as a load may take.
func (h *held) keepUp() {
	if mutant.On(mutant.TurnNotExtended) {
		return
	}
	until := h.n.clock.Waiter() + int64(h.n.cfg.LoadTimeout)
	extend := func() {
		defer h.running.Done()
		ctx, cancel := context.WithTimeout(h.n.life, h.n.cfg.Turn)
		defer cancel()
		ok, err := h.n.extendTurn(ctx, h.p, h)
		h.mu.Lock()
		defer h.mu.Unlock()
		switch {
		case err == nil && !ok:
			h.lost = true
		case !h.ended && h.n.clock.Waiter() < until:
			h.timer.Reset(h.n.cfg.Turn / 3)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(h.n.cfg.Turn/3, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.ended {
			return
		}
		h.running.Add(1)
		if !h.n.crew.Go(extend) {
			h.running.Done()
		}
	})
}

// finish tells the others how the load of f ended. It is called once f has
// landed, and its value was put where others find it.
func (h *held) finish(f *flight, kept, stored bool) {
	if h == nil {
		return
	}
	carried := mostCarried
	if stored {
		carried = h.n.cfg.Settings.InlineMax
	}
	switch {
	case f.err != nil:
		h.end(turn.Failed, nil)
	case kept && f.nested && !f.level.Covers(consistency.Level{}):
		h.end(turn.Unshared, nil) // made of copies that others would not read
	case kept && len(f.entry) <= carried:
		h.end(turn.Kept, f)
	case kept && stored:
		h.end(turn.Kept, nil)
	case kept || f.private || h.p.bracketed(f.entry):
		h.end(turn.Unshared, nil)
	default: // a fence has outrun it; the next load's value can be kept
		h.end(turn.Failed, nil)
	}
}

// end gives the turn back, and announces the outcome to those who wait.
// f is the load whose value travels along, nil for none.
func (h *held) end(o turn.Outcome, f *flight) {
	h.mu.Lock()
	h.ended = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	h.running.Wait() // an extension behind the release would bring the turn back

	n, p := h.n, h.p
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	a := turn.Filled{Claim: h.claim, Outcome: o}
	if f != nil {
		a.Entry, a.Nested = f.entry, f.nested
		a.At, a.Digest = p.place(h.claim.Epoch)
	}
	var late *turn.Filled
	if o == turn.Kept && a.At != 0 {
		late = &a
	}
	ended, err := n.releaseTurn(ctx, p, h, late)
	if h.lost || ended.Lost {
		n.stats.turnsLost.Add(1)
	}
	if err == nil && !ended.Waited || o != turn.Kept && mutant.On(mutant.TurnFailsSilently) {
		return
	}
	if err := n.turns.line.Announce(a); err != nil {
		n.logger.Debug("load was not announced", "key", a.Key, "error", err)
	}
}

// place returns what this node has applied in epoch and the digest there; 0 if
// it is elsewhere, or has no digest.
func (p *partition) place(epoch events.Epoch) (events.Position, events.Digest) {
	at := events.Position(p.applied.Load())
	p.mu.RLock()
	defer p.mu.RUnlock()
	d, known := p.world.DigestAt(at)
	if !known || p.world.Epoch() != epoch {
		return 0, events.Digest{}
	}
	return at, d
}
