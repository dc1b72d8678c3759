package sim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// courier carries copies between processes, some of them not, twice, late or
// out of order, also to a machine's next process.
type courier struct {
	w  *World
	mu sync.Mutex
	of map[events.NodeID]*copiesPort
}

// copiesPort is one process's use of the courier.
type copiesPort struct {
	p      *process
	c      *courier
	roll   *dice
	keep   func(node.Shipment)
	answer func(context.Context, int, []string) node.Shipment
	turn   chan struct{} // one shipment at a time
}

var _ node.Replicas = (*copiesPort)(nil)

var errNobody = errors.New("sim: nobody answers")

func (c *courier) port(p *process, seed uint64) *copiesPort {
	return &copiesPort{p: p, c: c, roll: newDice(seed, "copies "+p.m.name+p.incarnation.String()), turn: make(chan struct{}, 1)}
}

func (c *courier) to(id events.NodeID) *copiesPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[id]
}

func cloneShipment(s node.Shipment) node.Shipment {
	s.Entries = slices.Clone(s.Entries)
	for i, e := range s.Entries {
		s.Entries[i] = append(tiers.Entry(nil), e...)
	}
	return s
}

// Send is as the stream of copies: what it has taken reaches whoever listens
// when it arrives.
func (x *copiesPort) Send(ctx context.Context, to events.NodeID, s node.Shipment) error {
	w, noise := x.c.w, x.c.w.plan.noise
	if err := x.p.pass(ctx); err != nil {
		return err
	}
	x.p.nap(x.roll, time.Millisecond)
	switch {
	case x.p.isDead() && x.roll.chance(0.5), x.p.m.cutPeers.Load():
		return errNobody
	case w.strikes(x.roll, noise.copiesLost, "copies: lost"):
		return nil
	}
	s = cloneShipment(s)
	times := 1
	if w.strikes(x.roll, noise.copiesTwice, "copies: twice") {
		times = 2
	}
	for i := range times {
		after := x.roll.between(50*time.Microsecond, 3*time.Millisecond)
		if i > 0 || w.strikes(x.roll, noise.copiesLate, "copies: late") {
			after = x.roll.between(5*time.Millisecond, 5*time.Second)
		}
		w.background(func() {
			time.Sleep(after)
			if x := x.c.to(to); x != nil && !x.p.m.cutPeers.Load() {
				x.take(cloneShipment(s))
				if after > 100*time.Millisecond {
					w.lateCopies.Store(true)
				}
			}
		})
	}
	return nil
}

// take keeps s when its turn comes.
func (x *copiesPort) take(s node.Shipment) {
	select {
	case x.turn <- struct{}{}:
	case <-x.p.done:
		return
	}
	defer func() { <-x.turn }()
	if x.p.pass(x.c.w.ctx) == nil {
		x.keep(s)
	}
}

func (x *copiesPort) Fetch(ctx context.Context, from events.NodeID, partition int, keys []string) (node.Shipment, error) {
	w := x.c.w
	if err := x.p.pass(ctx); err != nil {
		return node.Shipment{}, err
	}
	owner := x.c.to(from)
	if owner == nil || x.p.m.cutPeers.Load() || owner.p.m.cutPeers.Load() {
		return node.Shipment{}, errNobody
	}
	if w.strikes(x.roll, w.plan.noise.copiesLost, "copies: question lost") {
		<-ctx.Done()
		return node.Shipment{}, ctx.Err()
	}
	x.p.nap(x.roll, time.Millisecond)
	if err := owner.p.pass(ctx); err != nil {
		return node.Shipment{}, err
	}
	s := cloneShipment(owner.answer(ctx, partition, keys))
	if len(s.Entries) > 0 {
		w.count.strike("copies: lent")
	}
	x.p.nap(x.roll, time.Millisecond)
	if w.strikes(x.roll, w.plan.noise.copiesLate, "copies: answer late") {
		time.Sleep(x.roll.between(time.Millisecond, 60*time.Millisecond))
	}
	if err := x.p.pass(ctx); err != nil {
		return node.Shipment{}, err
	}
	return s, ctx.Err()
}

func (x *copiesPort) Listen(ctx context.Context, self events.NodeID, keep func(node.Shipment), answer func(context.Context, int, []string) node.Shipment) error {
	x.keep, x.answer = keep, answer
	x.c.mu.Lock()
	x.c.of[self] = x
	x.c.mu.Unlock()
	<-ctx.Done()
	x.c.mu.Lock()
	if x.c.of[self] == x {
		delete(x.c.of, self)
	}
	x.c.mu.Unlock()
	x.turn <- struct{}{} // until the last shipment is kept; none is taken any more
	return ctx.Err()
}
