package sim

import (
	"context"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/turn"
)

// turnLength is how long a turn lasts: as long as a slow load, at times.
const turnLength = 600 * time.Millisecond

// turnsPort is a process's way to the turns that the store grants.
type turnsPort struct{ storePort }

var _ node.Turns = (*turnsPort)(nil)

func (s *store) now() int64 { return int64(time.Since(s.start)) }

func (x *turnsPort) Take(ctx context.Context, r turn.Request) (a turn.Answer, err error) {
	err = x.trip(ctx, false, func() {
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		e, there := x.s.entries[slot(r.Epoch, r.Key)]
		there = there && !r.Anew && e.Birth() >= r.From
		if !there || e.Birth() < r.Sure {
			a = x.s.turns.Take(x.s.now(), r)
		}
		if there {
			a.Copy = append([]byte(nil), e...)
		}
	})
	return a, err
}

func (x *turnsPort) TakeMany(ctx context.Context, rs []turn.Request) []turn.Taken {
	out := make([]turn.Taken, len(rs))
	for i, r := range rs { // each may be lost by itself
		out[i].Answer, out[i].Err = x.Take(ctx, r)
	}
	return out
}

func (x *turnsPort) Extend(ctx context.Context, c turn.Claim, d time.Duration) (ok bool, err error) {
	err = x.trip(ctx, false, func() {
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		ok = x.s.turns.Extend(x.s.now(), c, d)
	})
	return ok, err
}

func (x *turnsPort) Release(ctx context.Context, c turn.Claim) (e turn.Ended, err error) {
	err = x.trip(ctx, false, func() {
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		e = x.s.turns.Release(x.s.now(), c, nil, 0)
	})
	return e, err
}

// linePort is a process's end of the line on which nodes speak about loads.
type linePort struct {
	peersPort // its messages take the same ways, and are lost as easily

	mu     sync.Mutex
	heard  map[int]bool
	filled func(turn.Filled)
	asked  func(node.TurnRequest) node.TurnReply
}

var _ node.Line = (*linePort)(nil)

func newLinePort(p *process) *linePort {
	return &linePort{peersPort: peersPort{p: p, h: p.w.hub}, heard: map[int]bool{}}
}

func (x *linePort) hears(bucket int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.heard[bucket]
}

func (x *linePort) Announce(f turn.Filled) error {
	x.h.mu.Lock()
	defer x.h.mu.Unlock()
	for _, to := range x.h.lines {
		if to.hears(turn.Bucket(f.Key)) {
			x.h.send(x.p, to.p, func() { to.filled(f) })
		}
	}
	return nil
}

func (x *linePort) Hear(ctx context.Context, bucket int) (bool, error) {
	if err := x.p.pass(ctx); err != nil {
		return false, err
	}
	x.p.nap(x.p.roll, 500*time.Microsecond)
	x.mu.Lock()
	defer x.mu.Unlock()
	fresh := !x.heard[bucket]
	x.heard[bucket] = true
	return fresh, nil
}

// Request sends a request, and an answer if it arrives. A request that is sent
// twice is carried out twice.
func (x *linePort) Request(ctx context.Context, to events.Incarnation, q node.TurnRequest) (node.TurnReply, error) {
	x.h.mu.Lock()
	other := x.h.lines[to]
	x.h.mu.Unlock()
	if other == nil || x.p.isDead() {
		return node.TurnReply{}, errDead
	}
	answers := make(chan node.TurnReply, 2)
	x.h.send(x.p, other.p, func() {
		r := other.asked(q)
		x.h.send(other.p, x.p, func() {
			select {
			case answers <- r:
			default:
			}
		})
	})
	select {
	case r := <-answers:
		return r, nil
	case <-ctx.Done():
		return node.TurnReply{}, ctx.Err()
	}
}

func (x *linePort) Serve(ctx context.Context, self events.Incarnation, filled func(turn.Filled), asked func(node.TurnRequest) node.TurnReply) error {
	x.filled, x.asked = filled, asked
	x.h.mu.Lock()
	x.h.lines[self] = x
	x.h.mu.Unlock()
	<-ctx.Done()
	x.h.mu.Lock()
	delete(x.h.lines, self)
	x.h.mu.Unlock()
	return ctx.Err()
}

// once checks, when everything is mended, that a key which all machines miss
// at once is loaded once (G10).
func (w *World) once() {
	if !w.plan.turns {
		return
	}
	for _, m := range w.machines {
		s := m.process().node.Stats()
		if s.JoinedFleet > 0 {
			w.count.judged("G10 answered by another node's load")
		}
	}
	if w.plan.settings.MaxTTL < time.Minute || w.plan.policy != (node.Policy{}) {
		return // a copy that lives for a second has expired on a clock that runs ahead
	}
	const key = "row:once"
	var mu sync.Mutex
	loads := 0
	var all sync.WaitGroup
	for _, m := range w.machines {
		p := m.process()
		load := func(_ context.Context, key string) (node.Loaded, error) {
			mu.Lock()
			loads++
			mu.Unlock()
			time.Sleep(time.Second)
			return node.Loaded{Payload: payload([]string{key}, []int{1})}, nil
		}
		all.Go(func() {
			if _, err := p.node.Get(w.ctx, key, nil, node.ReadOptions{Level: consistency.Strong(), Load: load}); err != nil {
				w.violate("G10 once", "%s does not load: %v", p.m.name, err)
			}
		})
	}
	all.Wait()
	w.count.judged("G10 once")
	if loads != 1 {
		w.violate("G10 once", "%d machines missed a key at once, and it was loaded %d times", len(w.machines), loads)
	}
}
