package node

import (
	"context"
	"errors"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

const (
	// maxFetches bounds the questions to owners that are out at once: beyond,
	// a read goes on to the origin, which has its own bound.
	maxFetches = 256
	// maxRepairs bounds the copies on their way from owners back into Redis.
	maxRepairs = 64
)

// fetchOne asks the other owners of key for a live copy.
func (n *Node) fetchOne(ctx context.Context, p *partition, key string, fence coherence.Fence) (tiers.Entry, bool) {
	if n.replicas == nil || n.cfg.Replication <= 0 {
		return nil, false
	}
	now := n.clock.Now()
	found := n.fetch(ctx, p, func(e tiers.Entry) bool {
		return p.servable(e, now, fence) || mutant.On(mutant.OwnersTrusted)
	}, key)
	if len(found) == 0 {
		return nil, false
	}
	return found[0], true
}

// fetch asks the other owners of keys, all of partition p, for their copies, all
// owners at once, and returns for each key the first that comes and that alive
// approves. What alive sees is whole and of this node's history. A node that
// can't be asked in time has none.
func (n *Node) fetch(ctx context.Context, p *partition, alive func(tiers.Entry) bool, keys ...string) []tiers.Entry {
	asked := map[events.NodeID][]string{}
	for _, k := range keys {
		for _, node := range n.otherOwners(k) {
			asked[node] = append(asked[node], k)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	select {
	case n.fetches <- struct{}{}:
		defer func() { <-n.fetches }()
	default:
		n.stats.replicas.fetchFailures.Add(1)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.FetchTimeout)
	defer cancel()
	answers := make(chan []tiers.Entry, len(asked))
	for node, keys := range asked {
		if !n.crew.Go(func() { answers <- n.fetchFrom(ctx, p, node, keys) }) {
			answers <- nil
		}
	}
	found := make(map[string]bool, len(keys))
	var out []tiers.Entry
	for range asked {
		for _, e := range <-answers {
			if !found[e.Key()] && alive(e) {
				found[e.Key()] = true
				out = append(out, e)
			}
		}
		if len(found) == len(keys) {
			break // the others' answers are not waited for
		}
	}
	n.stats.replicas.fetchHits.Add(uint64(len(out)))
	n.stats.replicas.fetchMisses.Add(uint64(len(keys) - len(out)))
	return out
}

// fetchFrom asks one owner.
func (n *Node) fetchFrom(ctx context.Context, p *partition, from events.NodeID, keys []string) []tiers.Entry {
	n.stats.replicas.fetches.Add(1)
	s, err := n.replicas.Fetch(ctx, from, p.index, keys)
	switch {
	case errors.Is(err, context.Canceled):
		return nil // another was quicker
	case err != nil || s.Partition != p.index:
		n.stats.replicas.fetchFailures.Add(1)
		return nil
	case len(s.Entries) == 0 || !p.follows(ctx, s):
		return nil
	}
	wanted := make(map[string]bool, len(keys))
	for _, k := range keys {
		wanted[k] = true
	}
	var out []tiers.Entry
	for _, e := range p.unpack(s) {
		if wanted[e.Key()] {
			out = append(out, e)
		}
	}
	return out
}

// answer returns what this node has of keys, for another node that asks.
// Whether it serves itself just now does not matter: the asker judges, under a
// lease of its own.
func (n *Node) answer(ctx context.Context, partition int, keys []string) Shipment {
	s := Shipment{Partition: partition}
	if partition < 0 || partition >= len(n.parts) {
		return s
	}
	p := n.parts[partition]
	bytes := 0
	for _, k := range keys {
		if e := p.held(k); e != nil && bytes+len(e) <= maxShipment {
			bytes += len(e)
			s.Entries = append(s.Entries, e)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.FetchTimeout)
	defer cancel()
	if len(s.Entries) == 0 || !p.vouch(ctx, &s) {
		return Shipment{Partition: partition}
	}
	n.stats.replicas.answered.Add(uint64(len(s.Entries)))
	return s
}

// held returns this node's own live copy of key, nil if there is none.
func (p *partition) held(key string) tiers.Entry {
	if events.ValidateKey(key) != nil || p.n.of(key) != p {
		return nil
	}
	now := p.n.clock.Now()
	if e, ok := p.n.memory.Lookup(key, nil); ok && p.servable(e, now, coherence.Fence{}) {
		return e
	}
	if fence, e := p.lookupDisk(key, nil); e != nil && p.servable(e, now, fence) {
		return e
	}
	return nil
}

// adopt keeps a copy that an owner had, nearer in.
func (n *Node) adopt(p *partition, e tiers.Entry, now int64, o *ReadOptions) {
	if !o.Skip.has(SkipMemoryWrite) {
		_ = n.memory.Put(ending(e, now, o.policy.MemoryTTL)) // refused: outdated or too large, and counted there
	}
	if !o.Skip.has(SkipDiskWrite) {
		n.keeper.keep(p, ending(e, now, o.policy.DiskTTL))
	}
}

// repair brings a copy that an owner had back into Redis, behind the reader's
// back.
func (n *Node) repair(p *partition, e tiers.Entry) {
	select {
	case n.repairs <- struct{}{}:
	default:
		return
	}
	own := append(tiers.Entry(nil), e...)
	if !n.crew.Go(func() {
		defer func() { <-n.repairs }()
		n.keeper.share(n.life, p, own)
	}) {
		<-n.repairs
	}
}
