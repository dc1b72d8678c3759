package node

import (
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// counters are what a node counts. Hits in memory are not among them: the
// tier counts its own, and the hot path nothing.
type counters struct {
	diskHits, sharedHits, misses                                             atomic.Uint64
	memoryRejected, sharedDead                                               atomic.Uint64
	loads, joined, loadErrors, bypasses                                      atomic.Uint64
	fillsRefused, notKept                                                    atomic.Uint64
	writes, applied, keyFences, broadFences                                  atomic.Uint64
	undecodable, corrupt, outrun                                             atomic.Uint64
	pulses, pulsesFailed, waitsTimedOut                                      atomic.Uint64
	epochs, gaps, regressions                                                atomic.Uint64
	sharedErrors, witnessErrors, disksLost, unwitnessed, acksRefused, pruned atomic.Uint64
}

// Stats is a snapshot of what a node has counted since it was built, and of
// where it stands.
type Stats struct {
	// Reads by where they were answered from. Hits in memory are counted by
	// the memory tier, less MemoryRejected.
	DiskHits, SharedHits, Misses uint64
	// MemoryRejected are copies found in memory that were not alive; SharedDead
	// the same in the shared tier.
	MemoryRejected, SharedDead uint64
	// Loads are calls of loaders, Joined the readers who shared one, Bypasses
	// the loads past the cache.
	Loads, Joined, LoadErrors, Bypasses uint64
	// FillsRefused are loaded values that a fence had outrun; NotKept those
	// for which a queue had no room.
	FillsRefused, NotKept uint64
	Writes                uint64
	// Applied are records, KeyFences and BroadFences what they fenced.
	Applied, KeyFences, BroadFences uint64
	// Undecodable are records that fenced everything, Corrupt damaged copies,
	// Outrun Puts that lost to a higher row version.
	Undecodable, Corrupt, Outrun        uint64
	Pulses, PulsesFailed, WaitsTimedOut uint64
	// Epochs are epochs opened in the log, Gaps and Regressions why this node
	// dropped everything.
	Epochs, Gaps, Regressions              uint64
	SharedErrors, WitnessErrors, DisksLost uint64
	// Unwitnessed are pulses and writes that went on without the witness.
	Unwitnessed uint64
	// Pruned are fences older than any copy can live, forgotten.
	Pruned uint64
	// AcksRefused are confirmations of another history.
	AcksRefused uint64

	Partitions []PartitionStats
	Members    int
	Audit      AuditStats
}

// PartitionStats is where a node stands in one partition.
type PartitionStats struct {
	Epoch   events.Epoch
	Applied events.Position
	Horizon events.Position
	// FreshAge is how long ago the node was fresh; Joined is false before it
	// ever was, and while it has to join anew.
	FreshAge time.Duration
	Joined   bool
	Brackets int
}

// Stats returns a snapshot. The numbers are read one after the other.
func (n *Node) Stats() Stats {
	c := &n.stats
	s := Stats{
		DiskHits: c.diskHits.Load(), SharedHits: c.sharedHits.Load(), Misses: c.misses.Load(),
		MemoryRejected: c.memoryRejected.Load(), SharedDead: c.sharedDead.Load(),
		Loads: c.loads.Load(), Joined: c.joined.Load(), LoadErrors: c.loadErrors.Load(), Bypasses: c.bypasses.Load(),
		FillsRefused: c.fillsRefused.Load(), NotKept: c.notKept.Load(),
		Writes: c.writes.Load(), Applied: c.applied.Load(), KeyFences: c.keyFences.Load(), BroadFences: c.broadFences.Load(),
		Undecodable: c.undecodable.Load(), Corrupt: c.corrupt.Load(), Outrun: c.outrun.Load(),
		Pulses: c.pulses.Load(), PulsesFailed: c.pulsesFailed.Load(), WaitsTimedOut: c.waitsTimedOut.Load(),
		Epochs: c.epochs.Load(), Gaps: c.gaps.Load(), Regressions: c.regressions.Load(),
		SharedErrors: c.sharedErrors.Load(), WitnessErrors: c.witnessErrors.Load(), DisksLost: c.disksLost.Load(),
		Unwitnessed: c.unwitnessed.Load(), AcksRefused: c.acksRefused.Load(), Pruned: c.pruned.Load(),
		Members: len(n.Members()), Audit: n.audit.stats(),
	}
	now := n.clock.Now().Holder
	for _, p := range n.parts {
		p.mu.RLock()
		ps := PartitionStats{
			Epoch: p.world.Epoch(), Applied: p.world.Applied(), Horizon: p.world.Horizon(),
			Brackets: int(p.bypassing.Load()),
		}
		p.mu.RUnlock()
		if fresh := p.fresh.Load(); fresh != never {
			ps.Joined, ps.FreshAge = true, time.Duration(now-fresh)
		}
		s.Partitions = append(s.Partitions, ps)
	}
	return s
}
