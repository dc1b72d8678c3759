package sim

import (
	"context"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// hub carries messages between processes, some of them not, twice, or late.
type hub struct {
	w  *World
	mu sync.Mutex
	of map[events.Incarnation]*peersPort
	// lines are for messages about loads.
	lines map[events.Incarnation]*linePort
}

// peersPort is one process's use of the hub.
type peersPort struct {
	p         *process
	h         *hub
	asked     func(node.Question)
	confirmed func(node.Confirmation)
}

var _ node.Peers = (*peersPort)(nil)

func (x *peersPort) Ask(q node.Question) error {
	x.h.mu.Lock()
	defer x.h.mu.Unlock()
	for i, to := range x.h.of {
		if i != q.From {
			x.h.send(x.p, to.p, func() { to.asked(q) })
		}
	}
	return nil
}

func (x *peersPort) Confirm(to events.Incarnation, c node.Confirmation) error {
	x.h.mu.Lock()
	defer x.h.mu.Unlock()
	if to := x.h.of[to]; to != nil {
		x.h.send(x.p, to.p, func() { to.confirmed(c) })
	}
	return nil
}

// send lets deliver happen as often and as late as the noise says.
func (h *hub) send(from, to *process, deliver func()) {
	w, roll := h.w, from.roll
	times := 1
	switch {
	case from.isDead(), from.m.cutPeers.Load(), to.m.cutPeers.Load():
		return
	case w.strikes(roll, w.plan.noise.peersLost, "peers: lost"):
		return
	case w.strikes(roll, w.plan.noise.peersTwice, "peers: twice"):
		times = 2
	}
	for i := range times {
		after := roll.between(50*time.Microsecond, 2*time.Millisecond)
		if i > 0 || w.strikes(roll, w.plan.noise.peersLate, "peers: late") {
			after = roll.between(5*time.Millisecond, 4*time.Second)
		}
		w.background(func() {
			time.Sleep(after)
			if to.pass(w.ctx) == nil {
				deliver()
			}
		})
	}
}

func (x *peersPort) Listen(ctx context.Context, self events.Incarnation, asked func(node.Question), confirmed func(node.Confirmation)) error {
	x.asked, x.confirmed = asked, confirmed
	x.h.mu.Lock()
	x.h.of[self] = x
	x.h.mu.Unlock()
	<-ctx.Done()
	x.h.mu.Lock()
	delete(x.h.of, self)
	x.h.mu.Unlock()
	return ctx.Err()
}
