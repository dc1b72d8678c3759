package node

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// copier carries what was loaded here to the key's owners, behind the readers'
// backs. Its queue is bounded; what does not fit is not copied, and costs a
// load where this node and Redis are lost together.
type copier struct {
	queue  chan keeping
	queued atomic.Int64 // bytes
}

const (
	copierQueue = 4096
	copierBytes = 64 << 20
)

func (c *copier) init() { c.queue = make(chan keeping, copierQueue) }

// replicate queues e, which nobody changes any more, for its owners.
func (n *Node) replicate(p *partition, e tiers.Entry) {
	if n.replicas == nil || n.cfg.Replication <= 0 || len(n.otherOwners(e.Key())) == 0 {
		return
	}
	if !n.copier.take(keeping{p: p, e: e}) {
		n.stats.replicas.dropped.Add(1)
	}
}

// take queues k, if it can be shipped and there is room.
func (c *copier) take(k keeping) bool {
	size := int64(len(k.e))
	if size > maxShipment {
		return false
	}
	if c.queued.Add(size) <= copierBytes {
		select {
		case c.queue <- k:
			return true
		default:
		}
	}
	c.queued.Add(-size)
	return false
}

// route is where a shipment goes.
type route struct {
	p  *partition
	to events.NodeID
}

// manifest gathers copies by where they go.
type manifest map[route][]tiers.Entry

func (m manifest) add(p *partition, e tiers.Entry, to ...events.NodeID) {
	for _, node := range to {
		r := route{p, node}
		m[r] = append(m[r], e)
	}
}

// run sends what is queued. While shipments are under way, copies gather for
// the next.
func (c *copier) run(ctx context.Context, n *Node) error {
	for {
		out, bytes := manifest{}, 0
		load := func(k keeping) {
			out.add(k.p, k.e, n.otherOwners(k.e.Key())...)
			bytes += len(k.e)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case k := <-c.queue:
			load(k)
		}
		for range len(c.queue) {
			load(<-c.queue)
		}
		n.ship(ctx, out)
		c.queued.Add(-int64(bytes))
	}
}

// ship sends the copies, all routes at once, and returns how many arrived where
// they will be found.
func (n *Node) ship(ctx context.Context, out manifest) int {
	var all sync.WaitGroup
	var arrived atomic.Int64
	for r, es := range out {
		all.Go(func() {
			sent, offered := 0, 0
			for offered < len(es) {
				s := Shipment{Entries: es[offered:]}
				s.Entries = s.Entries[:fitting(s.Entries)]
				offered += len(s.Entries)
				if !n.send(ctx, r, &s) {
					break // the next would fare no better
				}
				sent += len(s.Entries)
			}
			n.stats.replicas.sent.Add(uint64(sent))
			n.stats.replicas.dropped.Add(uint64(len(es) - sent))
			arrived.Add(int64(sent))
		})
	}
	all.Wait()
	return int(arrived.Load())
}

// send vouches for one shipment and sends what of it can be vouched for. It
// reports whether that arrived.
func (n *Node) send(ctx context.Context, r route, s *Shipment) bool {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Settings.PulseInterval())
	defer cancel()
	return r.p.vouch(ctx, s) && n.replicas.Send(ctx, r.to, *s) == nil
}

// fitting returns how many of es, one at least, fit into one shipment.
func fitting(es []tiers.Entry) int {
	bytes := 0
	for i, e := range es {
		if bytes += len(e); bytes > maxShipment && i > 0 {
			return i
		}
	}
	return len(es)
}

// received keeps the copies of a shipment that are alive here, on disk: what is
// asked for comes into memory by itself. It waits until this node has been
// where the sender was, for a pulse's time at most: a node that is further
// behind has better things to do.
func (n *Node) received(s Shipment) {
	n.stats.replicas.received.Add(uint64(len(s.Entries)))
	kept := n.receive(s)
	n.stats.replicas.kept.Add(kept)
	n.stats.replicas.refused.Add(uint64(len(s.Entries)) - kept)
}

func (n *Node) receive(s Shipment) uint64 {
	if s.Partition < 0 || s.Partition >= len(n.parts) {
		return 0
	}
	p := n.parts[s.Partition]
	ctx, cancel := context.WithTimeout(n.life, n.cfg.Settings.PulseInterval())
	defer cancel()
	if p.blind.Load() || !p.follows(ctx, s) {
		return 0
	}
	var es []tiers.Entry
	for _, e := range p.unpack(s) {
		es = append(es, append(tiers.Entry(nil), e...)) // the disk keeps them
	}
	if len(es) == 0 {
		return 0
	}
	var kept atomic.Uint64
	err := n.disk.FillAll(p.index, es, func(e tiers.Entry, f tiers.Fence) bool {
		if !p.mayLie(e, f) && !mutant.On(mutant.ShipmentsUnchecked) {
			return false
		}
		kept.Add(1)
		return true
	})
	p.filled(err)
	if err != nil {
		return 0
	}
	return kept.Load()
}
