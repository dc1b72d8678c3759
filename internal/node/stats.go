package node

import (
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// counters are what a node counts. Hits in memory are not among them: the
// tier counts its own, and the hot path nothing.
type counters struct {
	diskHits, sharedHits, misses                                                                   atomic.Uint64
	memoryRejected, sharedDead                                                                     atomic.Uint64
	loads, joined, loadErrors, bypasses                                                            atomic.Uint64
	led, joinedFleet, turnsLost, turnNanos                                                         atomic.Uint64
	fillsRefused, notKept, fallbacks, refreshes, notModified, slow                                 atomic.Uint64
	writes, applied, keyFences, broadFences                                                        atomic.Uint64
	undecodable, corrupt, outrun                                                                   atomic.Uint64
	pulses, shortcuts, pulsesFailed, waitsTimedOut                                                 atomic.Uint64
	epochs, gaps, regressions                                                                      atomic.Uint64
	sharedErrors, witnessErrors, disksLost, disksRenewed, unwitnessed, traced, acksRefused, pruned atomic.Uint64
	replicas                                                                                       replicaCounters
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
	// Origin is what the loads' gate sees. LoadsShed are loads that were turned
	// away, there or before, because too many were under way.
	Origin    GateStats
	LoadsShed uint64
	// Led are the loads that held the domain's turn, JoinedFleet those that
	// another node's load answered, TurnsLost the turns that were another's
	// when their load ended.
	Led, JoinedFleet, TurnsLost uint64
	// TurnWait is how long loads have waited for their turn or for another
	// node's answer, together.
	TurnWait time.Duration
	// FillsRefused are loaded values that a fence had outrun; NotKept those
	// for which a queue had no room.
	FillsRefused, NotKept uint64
	// Fallbacks are reads that were answered from behind a soft fence or after
	// the copy's expiry.
	Fallbacks uint64
	// Refreshes are reads that found a copy due for a load in the background,
	// NotModified loads that found it unchanged, SlowLoads readers who did not
	// wait for a load any longer.
	Refreshes, NotModified, SlowLoads uint64
	Writes                            uint64
	// Applied are records, KeyFences and BroadFences what they fenced.
	Applied, KeyFences, BroadFences uint64
	// Undecodable are records that fenced everything, Corrupt damaged copies,
	// Outrun Puts that lost to a higher row version.
	Undecodable, Corrupt, Outrun        uint64
	Pulses, PulsesFailed, WaitsTimedOut uint64
	// Shortcuts are the pulses that proved by their acknowledgement that nothing
	// was missing here, before they were read back.
	Shortcuts uint64
	// Epochs are epochs opened in the log, Gaps and Regressions why this node
	// dropped everything.
	Epochs, Gaps, Regressions              uint64
	SharedErrors, WitnessErrors, DisksLost uint64
	// DisksRenewed are new disks that were filled from the log after a loss.
	DisksRenewed uint64
	// Unwitnessed are pulses and writes that went on without the witness.
	Unwitnessed uint64
	// Traced are comparisons with a witness so old that the log's records had to
	// be read from there.
	Traced uint64
	// Pruned are fences older than any copy can live, forgotten.
	Pruned uint64
	// AcksRefused are confirmations of another history.
	AcksRefused uint64

	// CopiesSent are copies that were handed over for an owner, CopiesDropped
	// those that were not: a queue was full, the copy too large, the witness
	// or the way there out of reach.
	CopiesSent, CopiesDropped uint64
	// CopiesReceived are those that came from others; each is among CopiesKept
	// or CopiesRefused (dead, older than what is here, of another history).
	CopiesReceived, CopiesKept, CopiesRefused uint64
	// Fetches are questions to owners, FetchesFailed those without an answer.
	// OwnerHits and FetchMisses are keys asked for, found alive or not.
	Fetches, FetchesFailed, OwnerHits, FetchMisses uint64
	// CopiesLent are copies given to others who asked.
	CopiesLent uint64
	// Rebalances are walks over the disk because members came or went,
	// RowsWalked the copies looked at there, CopiesMoved those that were sent
	// to new owners (among CopiesSent too).
	Rebalances, RowsWalked, CopiesMoved uint64
	// Unplaced is 1 while members have come or gone and the copies here have
	// not followed yet, or the members are not known for long enough.
	Unplaced int

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
		Led: c.led.Load(), JoinedFleet: c.joinedFleet.Load(), TurnsLost: c.turnsLost.Load(), TurnWait: time.Duration(c.turnNanos.Load()),
		FillsRefused: c.fillsRefused.Load(), NotKept: c.notKept.Load(), Fallbacks: c.fallbacks.Load(),
		Refreshes: c.refreshes.Load(), NotModified: c.notModified.Load(), SlowLoads: c.slow.Load(),
		Writes: c.writes.Load(), Applied: c.applied.Load(), KeyFences: c.keyFences.Load(), BroadFences: c.broadFences.Load(),
		Undecodable: c.undecodable.Load(), Corrupt: c.corrupt.Load(), Outrun: c.outrun.Load(),
		Pulses: c.pulses.Load(), Shortcuts: c.shortcuts.Load(), PulsesFailed: c.pulsesFailed.Load(), WaitsTimedOut: c.waitsTimedOut.Load(),
		Epochs: c.epochs.Load(), Gaps: c.gaps.Load(), Regressions: c.regressions.Load(),
		SharedErrors: c.sharedErrors.Load(), WitnessErrors: c.witnessErrors.Load(), DisksLost: c.disksLost.Load(), DisksRenewed: c.disksRenewed.Load(),
		Unwitnessed: c.unwitnessed.Load(), Traced: c.traced.Load(), AcksRefused: c.acksRefused.Load(), Pruned: c.pruned.Load(),
		Members: len(n.Members()), Audit: n.audit.stats(),
	}
	c.replicas.into(&s)
	s.Origin = n.gate.Stats()
	s.LoadsShed = s.Origin.Shed + n.airborne.shed.Load()
	if n.replicas != nil && n.owners.done.Load() != n.owners.now.Load() {
		s.Unplaced = 1
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
