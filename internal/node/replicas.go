package node

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Replicas carries copies between the nodes of a domain. Shipments may be lost,
// repeated, reordered and late, and come from whoever bears a node's name: the
// receiver judges each copy as one that it found in any other place (G9).
type Replicas interface {
	// Send hands a shipment over for the node called to, and returns once that
	// has been queued where it will be found. It keeps nothing of s.
	Send(ctx context.Context, to events.NodeID, s Shipment) error
	// Fetch asks a node for its copies of keys, all of one partition. A node
	// that can't be asked is an error; one that has none of them is not. The
	// answer belongs to the caller.
	Fetch(ctx context.Context, from events.NodeID, partition int, keys []string) (Shipment, error)
	// Listen calls keep with the shipments sent to self, one after the other,
	// and answer, concurrently, with the keys that others ask self for, until
	// ctx is done. Neither may keep what it is given.
	Listen(ctx context.Context, self events.NodeID, keep func(Shipment), answer func(ctx context.Context, partition int, keys []string) Shipment) error
}

// Shipment is copies of one partition and what vouches for them: that at At,
// at or above all their births, the sender's history had the digest. Who has
// applied At too and finds the same digest has lived through all that the
// copies were born behind.
type Shipment struct {
	Partition int
	Epoch     events.Epoch
	At        events.Position
	Digest    events.Digest
	// Entries are as they came: not parsed yet.
	Entries []tiers.Entry
}

// maxShipment bounds the entries of one shipment in bytes, so that it fits into
// a message of NATS's default size. A larger entry travels through Redis only.
const maxShipment = 900 << 10

// vouch fills in what this node can say of its history, and drops the entries
// that this says nothing about: of another epoch, or born ahead of this node.
// It reports whether anything is left.
//
// The witness comes first: no copy leaves before it covers the copy's birth
// (H5). Where the witness is out of reach the receiver takes its place, which
// keeps copies only from behind what it has applied itself: a copy that it
// still has after a crash lies beside a checkpoint that proves the loss.
func (p *partition) vouch(ctx context.Context, s *Shipment) bool {
	s.Partition, s.Epoch = p.index, events.Epoch(p.epoch.Load())
	applied := events.Position(p.applied.Load())
	kept, newest := s.Entries[:0:0], events.Position(0)
	for _, e := range s.Entries {
		if e.Epoch() == s.Epoch && e.Birth() <= applied {
			kept, newest = append(kept, e), max(newest, e.Birth())
		}
	}
	if s.Entries = kept; len(kept) == 0 {
		return false
	}
	if !mutant.On(mutant.ShipmentsOutrunWitness) {
		if err := p.testify(ctx, s.Epoch, newest); err != nil && !errors.Is(err, errUnwitnessed) {
			return false
		}
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	known := false
	s.At = events.Position(p.applied.Load())
	s.Digest, known = p.world.DigestAt(s.At)
	return known && s.At >= newest && p.world.Epoch() == s.Epoch
}

// follows waits until this node has been where the shipment's sender was, and
// reports whether that was the same history.
func (p *partition) follows(ctx context.Context, s Shipment) bool {
	if mutant.On(mutant.ShippedEpochIgnored) && s.Epoch != events.Epoch(p.epoch.Load()) {
		return true
	}
	if p.until(ctx, func() bool { return p.applied.Load() >= uint64(s.At) }) != nil {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	own, known := p.world.DigestAt(s.At)
	return known && own == s.Digest && p.world.Epoch() == s.Epoch || mutant.On(mutant.VouchersIgnored)
}

// unpack returns the shipment's whole entries that may be what the sender says:
// of this partition and, where the voucher holds, of its epoch.
func (p *partition) unpack(s Shipment) []tiers.Entry {
	whole := s.Entries[:0:0]
	for _, b := range s.Entries {
		e, err := tiers.Parse(b)
		if err != nil || p.n.of(e.Key()) != p {
			p.n.stats.corrupt.Add(1)
			continue
		}
		if mutant.On(mutant.ShippedEpochIgnored) {
			e.Stamp(events.Epoch(p.epoch.Load()), e.Birth())
		}
		if mutant.On(mutant.ShippedBirthRaised) {
			e.Stamp(e.Epoch(), events.Position(p.applied.Load()))
		}
		if e.Birth() <= s.At || mutant.On(mutant.VouchersIgnored) {
			whole = append(whole, e)
		}
	}
	return whole
}

// replicaCounters are what a node counts of its part in replication.
type replicaCounters struct {
	sent, dropped, received, kept, refused         atomic.Uint64
	fetches, fetchHits, fetchMisses, fetchFailures atomic.Uint64
	answered, walks, walked, moved                 atomic.Uint64
}

func (c *replicaCounters) into(s *Stats) {
	s.CopiesSent, s.CopiesDropped = c.sent.Load(), c.dropped.Load()
	s.CopiesReceived, s.CopiesKept, s.CopiesRefused = c.received.Load(), c.kept.Load(), c.refused.Load()
	s.Fetches, s.OwnerHits, s.FetchMisses, s.FetchesFailed = c.fetches.Load(), c.fetchHits.Load(), c.fetchMisses.Load(), c.fetchFailures.Load()
	s.CopiesLent = c.answered.Load()
	s.Rebalances, s.RowsWalked, s.CopiesMoved = c.walks.Load(), c.walked.Load(), c.moved.Load()
}
