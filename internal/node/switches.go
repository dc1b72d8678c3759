package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/turn"
)

// Tiers are the sources that can be switched off, nearest first.
var Tiers = []Source{FromMemory, FromDisk, FromShared, FromOwner}

// ParseSource returns the source of that name, as [Source.String] writes it; an
// [events.ErrInvalid] for any other.
func ParseSource(name string) (Source, error) {
	for s := FromMemory; s <= FromOrigin; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("%w tier %q: want memory, disk, redis or owner", events.ErrInvalid, name)
}

// TierState says whether a node uses a tier.
type TierState struct {
	Tier Source
	// Present: the node has the tier. On: it is not switched off.
	Present, On bool
	// Advice is what an operator should change about the tier; see [Adviser].
	Advice []string
}

// errSwitchedOff is neither a miss nor a failure of the tier.
var errSwitchedOff = errors.New("tier is switched off")

// switches are the tiers' kill switches. A tier that is off is not asked for
// copies and gets none; what coherence rests on goes on: fences are noted in
// memory and on disk, and the witness in Redis is read and raised. So a tier may
// be switched at any moment, and what it holds when it comes back is judged as
// ever.
type switches struct {
	mu  sync.Mutex // one change at a time
	off [FromOrigin + 1]atomic.Bool
}

func (s *switches) isOff(t Source) bool { return s.off[t].Load() }

// fitSwitches puts the switches between the node and its ports, whose users need not
// know of them. Memory has its own.
func (n *Node) fitSwitches() {
	if n.disk != nil {
		n.disk = switchedDisk{n.disk, &n.switches}
	}
	if n.shared != nil {
		n.shared = switchedShared{n.shared, &n.switches}
	}
	if n.turns.shared != nil {
		n.turns.shared = switchedTurns{n.turns.shared, &n.switches}
	}
	if n.replicas != nil {
		n.replicas = switchedReplicas{n.replicas, &n.switches}
	}
}

// SwitchOff makes the node go on without a tier, until SwitchOn or the next
// start: it looks for no copies there and puts none. Everything else about the
// node stays: what it promises, and its part in the log. FromShared takes turns
// for loads with it, which the owners grant then, and leaves the witness.
// FromOwner is the exchange of copies with other nodes, in both directions.
//
// It fails with [events.ErrInvalid] for what is no tier.
func (n *Node) SwitchOff(t Source) error { return n.switchTier(t, true) }

// SwitchOn ends a SwitchOff. What the tier still holds is judged by the fences of
// the meantime as well.
func (n *Node) SwitchOn(t Source) error { return n.switchTier(t, false) }

func (n *Node) switchTier(t Source, off bool) error {
	if t < FromMemory || t > FromOwner {
		return &Error{Op: "switch", Err: fmt.Errorf("%w tier %q", events.ErrInvalid, t)}
	}
	n.switches.mu.Lock()
	defer n.switches.mu.Unlock()
	if n.switches.off[t].Swap(off) == off {
		return nil
	}
	if t == FromMemory && off {
		n.memory.Suspend()
	}
	if t == FromMemory && !off {
		n.memory.Resume()
	}
	n.logger.Warn("tier was switched", "tier", t.String(), "on", !off)
	return nil
}

// TierStates says which tiers the node has and uses, nearest first.
func (n *Node) TierStates() []TierState {
	present := map[Source]bool{
		FromMemory: true, FromDisk: n.disk != nil, FromShared: n.shared != nil,
		FromOwner: n.replicas != nil && n.cfg.Replication > 0,
	}
	out := make([]TierState, len(Tiers))
	for i, t := range Tiers {
		out[i] = TierState{Tier: t, Present: present[t], On: !n.switches.isOff(t)}
	}
	if a, ok := n.deps.Shared.(Adviser); ok {
		out[FromShared-FromMemory].Advice = a.Advice()
	}
	return out
}

// switchedDisk keeps the fences of a disk whose copies are not wanted.
type switchedDisk struct {
	Disk
	s *switches
}

func (d switchedDisk) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	f, e, err := d.Disk.Lookup(key, dst)
	if d.s.isOff(FromDisk) {
		e = nil
		if mutant.On(mutant.OffDiskForgetsFences) {
			f = tiers.Fence{}
		}
	}
	return f, e, err
}

func (d switchedDisk) Fill(partition int, e tiers.Entry, alive func(tiers.Fence) bool) error {
	if d.s.isOff(FromDisk) {
		return errSwitchedOff
	}
	return d.Disk.Fill(partition, e, alive)
}

func (d switchedDisk) FillAll(partition int, es []tiers.Entry, alive func(tiers.Entry, tiers.Fence) bool) error {
	if d.s.isOff(FromDisk) {
		return errSwitchedOff
	}
	return d.Disk.FillAll(partition, es, alive)
}

func (d switchedDisk) Scan(partition int, from string, limit int, fn func(tiers.Entry) bool) (string, error) {
	if d.s.isOff(FromDisk) {
		return "", errSwitchedOff
	}
	return d.Disk.Scan(partition, from, limit, fn)
}

func (d switchedDisk) Batch(partition int) Batch { return d.s.batch(d.Disk.Batch(partition)) }

// batch puts the switch between the apply loop and b; nil stays nil.
func (s *switches) batch(b Batch) Batch {
	if b == nil {
		return nil
	}
	return switchedBatch{b, s}
}

type switchedBatch struct {
	Batch
	s *switches
}

func (b switchedBatch) PutEntry(e tiers.Entry) {
	if b.s.isOff(FromDisk) {
		b.FencePut(e.Key(), e.Birth())
		return
	}
	b.Batch.PutEntry(e)
}

// switchedShared is a shared tier that may be out of use.
type switchedShared struct {
	Shared
	s *switches
}

var _ tiers.ManyGetter = switchedShared{}

func (t switchedShared) Get(ctx context.Context, key string, dst []byte) (tiers.Entry, error) {
	if t.s.isOff(FromShared) {
		return nil, errSwitchedOff
	}
	return t.Shared.Get(ctx, key, dst)
}

func (t switchedShared) GetMany(ctx context.Context, keys []string) ([]tiers.Entry, error) {
	if t.s.isOff(FromShared) {
		return make([]tiers.Entry, len(keys)), nil
	}
	return tiers.GetMany(ctx, t.Shared, keys)
}

func (t switchedShared) Put(ctx context.Context, e tiers.Entry) error {
	if t.s.isOff(FromShared) {
		return errSwitchedOff
	}
	return t.Shared.Put(ctx, e)
}

// switchedTurns grants no turns while the shared tier is off. What was granted
// before is given back there all the same.
type switchedTurns struct {
	Turns
	s *switches
}

func (t switchedTurns) Take(ctx context.Context, r turn.Request) (turn.Answer, error) {
	if t.s.isOff(FromShared) {
		return turn.Answer{}, errSwitchedOff
	}
	return t.Turns.Take(ctx, r)
}

func (t switchedTurns) TakeMany(ctx context.Context, rs []turn.Request) []turn.Taken {
	if !t.s.isOff(FromShared) {
		return t.Turns.TakeMany(ctx, rs)
	}
	out := make([]turn.Taken, len(rs))
	for i := range out {
		out[i].Err = errSwitchedOff
	}
	return out
}

func (t switchedTurns) Extend(ctx context.Context, c turn.Claim, d time.Duration) (bool, error) {
	if t.s.isOff(FromShared) {
		return false, errSwitchedOff
	}
	return t.Turns.Extend(ctx, c, d)
}

// switchedReplicas neither asks other nodes for copies nor has any for them while
// the owners are off.
type switchedReplicas struct {
	Replicas
	s *switches
}

func (r switchedReplicas) Send(ctx context.Context, to events.NodeID, s Shipment) error {
	if r.s.isOff(FromOwner) {
		return errSwitchedOff
	}
	return r.Replicas.Send(ctx, to, s)
}

func (r switchedReplicas) Fetch(ctx context.Context, from events.NodeID, partition int, keys []string) (Shipment, error) {
	if r.s.isOff(FromOwner) {
		return Shipment{Partition: partition}, nil
	}
	return r.Replicas.Fetch(ctx, from, partition, keys)
}

func (r switchedReplicas) Listen(ctx context.Context, self events.NodeID, keep func(Shipment), answer func(ctx context.Context, partition int, keys []string) Shipment) error {
	return r.Replicas.Listen(ctx, self,
		func(s Shipment) {
			if !r.s.isOff(FromOwner) {
				keep(s)
			}
		},
		func(ctx context.Context, partition int, keys []string) Shipment {
			if r.s.isOff(FromOwner) {
				return Shipment{Partition: partition}
			}
			return answer(ctx, partition, keys)
		})
}
