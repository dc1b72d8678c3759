package node

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/placement"
)

// ownership says who owns which slot. It is made anew when members come or go,
// and never changed.
type ownership struct {
	members []placement.Member // in the order of their names
	of      [events.Slots][]events.NodeID
}

func newOwnership(members []placement.Member, r int) *ownership {
	o := &ownership{members: members}
	for slot := range o.of {
		o.of[slot] = placement.Owners(members, slot, r)
	}
	return o
}

// lives reports whether a member of that name is there.
func (o *ownership) lives(node events.NodeID) bool {
	return slices.ContainsFunc(o.members, func(m placement.Member) bool { return m.Node == node })
}

// owners is the node's present idea of who owns what, and since when it has
// not changed.
type owners struct {
	now   atomic.Pointer[ownership] // nil before the node runs
	done  atomic.Pointer[ownership] // what the copies here lie by; nil: not known yet
	since int64                     // in waiter time; the placing loop's own
}

// Owners returns the nodes that keep copies of key for the others, the first
// owner first; none where nothing is replicated. Other nodes may see other
// members for a moment.
func (n *Node) Owners(key string) []events.NodeID {
	if o := n.owners.now.Load(); o != nil {
		return slices.Clone(o.of[Slot(key)])
	}
	return nil
}

// otherOwners returns the owners of key but this node, nearest to first owner
// first.
func (n *Node) otherOwners(key string) []events.NodeID {
	o := n.owners.now.Load()
	if o == nil {
		return nil
	}
	all := o.of[Slot(key)]
	if at := slices.Index(all, n.cfg.Node); at >= 0 {
		return slices.Concat(all[:at], all[at+1:])
	}
	return all
}

// live returns who may own slots: this node, and every member that was heard
// within the time after which its lease has certainly run out. Whoever is not
// served by that can still read its own disk.
func (n *Node) live() []placement.Member {
	p := n.parts[0]
	now := n.clock.Waiter()
	heard := hearing{last: p.pulses.lastHeard(), since: n.listening.Load()}
	weights := map[events.NodeID]uint32{n.cfg.Node: n.cfg.Weight}
	for _, m := range n.Members() {
		if m.Node != n.cfg.Node && heard.of(m.Incarnation)+int64(n.cfg.Settings.LeaseWait()) > now {
			weights[m.Node] = max(weights[m.Node], m.Weight)
		}
	}
	members := make([]placement.Member, 0, len(weights))
	for node, weight := range weights {
		members = append(members, placement.Member{Node: node, Weight: weight})
	}
	slices.SortFunc(members, func(a, b placement.Member) int { return cmp.Compare(a.Node, b.Node) })
	return members
}

// look takes a new look at the members.
func (n *Node) look() {
	members := n.live()
	if old := n.owners.now.Load(); old != nil && slices.Equal(old.members, members) {
		return
	}
	n.owners.now.Store(newOwnership(members, max(n.cfg.Replication, 0)))
	n.owners.since = n.clock.Waiter()
}

// settled reports whether the members have been the same for long enough to
// move copies: one that restarts is back by then.
func (o *owners) settled(now int64, settings events.Settings) bool {
	return now-o.since >= int64(settleAfter*settings.PulseInterval())
}

// settleAfter is for how many pulses' time the members must have stayed the
// same before copies are moved.
const settleAfter = 3

// place keeps the ownership up to date, and moves copies when it has changed
// for good.
func (n *Node) place(ctx context.Context) error {
	tick := time.NewTicker(min(n.cfg.Settings.PulseInterval(), time.Second))
	defer tick.Stop()
	for {
		n.look()
		now, done := n.owners.now.Load(), n.owners.done.Load()
		switch {
		case done == now || !n.owners.settled(n.clock.Waiter(), n.cfg.Settings):
		case done == nil:
			// Those who were there before have moved what this node was to get.
			n.owners.done.Store(now)
		case n.rebalance(ctx, done, now):
			n.owners.done.Store(now)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
