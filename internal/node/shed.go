package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// timedOut reports whether a call of an origin ended because it took too long.
func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// airborne bounds the loads that are under way in a process, those included that
// wait for the origin, or for another node's load: each is a goroutine that goes
// on when its reader has left.
type airborne struct {
	now  atomic.Int64
	most int64
	shed atomic.Uint64
}

func (a *airborne) init(l Limits) {
	l = l.withDefaults()
	a.most = int64(l.AtOnce + l.Queue)
}

// takeOff runs a load in a goroutine of its own. It fails with [ErrOverloaded] if
// too many are under way, with [ErrNotServing] if the node stops.
func (n *Node) takeOff(load func()) error {
	a := &n.airborne
	if a.now.Add(1) > a.most {
		a.now.Add(-1)
		a.shed.Add(1)
		n.gate.mu.Lock()
		defer n.gate.mu.Unlock()
		return n.gate.overload()
	}
	if !n.crew.Go(func() { defer a.now.Add(-1); load() }) {
		a.now.Add(-1)
		return fmt.Errorf("%w: it is stopping", ErrNotServing)
	}
	return nil
}
