package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/placement"
	"github.com/raptorflow/tercet/internal/turn"
)

// turns are this node's dealings with turns: those that it asks for, and those
// that it grants as the first owner of a slot.
type turns struct {
	shared Turns // nil: none
	line   Line  // nil: loads are shared within this process only
	count  atomic.Uint64

	mu    sync.Mutex
	table turn.Table // what this node has granted
	// ears are the loads that wait for an announcement, by key.
	ears map[string][]*ear
}

// ear hears the announcements of a key.
type ear struct {
	heard chan *turn.Filled
}

// mostHeard is how many announcements of a key wait to be looked at; one that
// finds no room is missed, as if it had been lost.
const mostHeard = 4

func (t *turns) listen(key string) *ear {
	e := &ear{heard: make(chan *turn.Filled, mostHeard)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ears == nil {
		t.ears = make(map[string][]*ear)
	}
	t.ears[key] = append(t.ears[key], e)
	return e
}

func (t *turns) unlisten(key string, e *ear) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := t.ears[key][:0]
	for _, other := range t.ears[key] {
		if other != e {
			left = append(left, other)
		}
	}
	if t.ears[key] = left; len(left) == 0 {
		delete(t.ears, key)
	}
}

// announced hands an announcement to the loads that wait for it.
func (t *turns) announced(f turn.Filled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.ears[f.Key] {
		select {
		case e.heard <- &f:
		default:
		}
	}
}

// turnAsked answers another node's request, as an owner.
func (n *Node) turnAsked(q TurnRequest) (r TurnReply) {
	now := n.clock.Waiter()
	n.turns.mu.Lock()
	defer n.turns.mu.Unlock()
	switch q.Op {
	case TakeTurn:
		r.Answer = n.turns.table.Take(now, q.Request)
	case ExtendTurn:
		r.Extended = n.turns.table.Extend(now, q.Claim, q.For)
	case ReleaseTurn:
		r.Ended = n.turns.table.Release(now, q.Claim, q.Filled, q.For)
	}
	return r
}

// ownerPatience is how long an owner may take to answer before the next one is
// asked: one that has ended is known at once, one that is stopped is not.
const ownerPatience = time.Second

// ownersAsked is how many owners are tried.
const ownersAsked = 3

// errNoOwner reports that no owner of a slot could be asked.
var errNoOwner = errors.New("no owner answers")

// askOwner puts q to the first owner of the key's slot that answers.
func (n *Node) askOwner(ctx context.Context, p *partition, q TurnRequest) (TurnReply, error) {
	for _, to := range p.owners(Slot(q.Key), ownersAsked) {
		if to == n.incarnation {
			return n.turnAsked(q), nil
		}
		asking, cancel := context.WithTimeout(ctx, ownerPatience)
		r, err := n.turns.line.Request(asking, to, q)
		cancel()
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return TurnReply{}, ctx.Err()
		}
	}
	return TurnReply{}, errNoOwner
}

// owners returns the r members that own slot, as this node sees them, the first
// owner first: those that it has heard within a lease. Of a node that was
// started anew it names the latest incarnation.
func (p *partition) owners(slot, r int) []events.Incarnation {
	since := p.n.clock.Waiter() - int64(p.n.cfg.Settings.LeaseWait())
	heard := hearing{last: p.pulses.lastHeard(), since: p.n.listening.Load()}
	var there []placement.Member
	latest := map[events.NodeID]events.Incarnation{}
	first := map[events.NodeID]events.Position{}
	p.mu.RLock()
	for m := range p.world.Members() {
		if m.Incarnation != p.n.incarnation && heard.of(m.Incarnation) < since {
			continue
		}
		there = append(there, placement.Member{Node: m.Node, Weight: m.Weight})
		if m.First >= first[m.Node] {
			first[m.Node], latest[m.Node] = m.First, m.Incarnation
		}
	}
	p.mu.RUnlock()
	owners := make([]events.Incarnation, 0, r)
	for _, id := range placement.Owners(there, slot, r) {
		owners = append(owners, latest[id])
	}
	return owners
}

// accompanied reports whether the domain has other members, as far as this
// node knows.
func (p *partition) accompanied() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for m := range p.world.Members() {
		if m.Incarnation != p.n.incarnation {
			return true
		}
	}
	return false
}

// takeTurn asks for a turn where it can be granted: in Redis, or else by the
// slot's first owner. Who was asked may hold the turn, whatever came back.
//
// known is how long another's turn is known to last. Where it was granted may
// be out of reach now; its holder, who finds that out too, takes it along to
// the owner in that time.
func (n *Node) takeTurn(ctx context.Context, p *partition, h *held, r turn.Request, known time.Duration) (turn.Answer, error) {
	if n.turns.shared != nil {
		h.inShared = true
		a, err := n.turns.shared.Take(ctx, r)
		if err == nil {
			h.byShared = true
			return a, nil
		}
		if known > 0 && h.byShared {
			return turn.Answer{Held: true, Left: known}, nil
		}
	}
	h.atOwner, h.byShared = true, false
	reply, err := n.askOwner(ctx, p, TurnRequest{Op: TakeTurn, Request: r})
	return reply.Answer, err
}

// extendTurn prolongs a turn. An error means that nobody could be asked.
func (n *Node) extendTurn(ctx context.Context, p *partition, h *held) (bool, error) {
	if n.turns.shared != nil {
		h.inShared = true
		if ok, err := n.turns.shared.Extend(ctx, h.claim, n.cfg.Turn); err == nil {
			return ok, nil
		}
	}
	h.atOwner = true
	q := TurnRequest{Op: ExtendTurn, Request: turn.Request{Claim: h.claim, For: n.cfg.Turn}}
	r, err := n.askOwner(ctx, p, q)
	return r.Extended, err
}

// releaseTurn ends a turn wherever it may be held. An error means that it is
// not known whether somebody waits.
func (n *Node) releaseTurn(ctx context.Context, p *partition, h *held, f *turn.Filled) (turn.Ended, error) {
	all := turn.Ended{Lost: true} // unless one says that it was held there
	var errs error
	note := func(e turn.Ended, err error) {
		all.Lost, all.Waited = all.Lost && e.Lost && err == nil, all.Waited || e.Waited
		errs = errors.Join(errs, err)
	}
	if h.inShared {
		note(n.turns.shared.Release(ctx, h.claim))
	}
	if h.atOwner {
		r, err := n.askOwner(ctx, p, TurnRequest{Op: ReleaseTurn, Request: turn.Request{Claim: h.claim, For: n.cfg.Turn}, Filled: f})
		note(r.Ended, err)
	}
	return all, errs
}
