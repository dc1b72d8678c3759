package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// The auditor looks over the node's shoulder: now and then it takes a copy that
// a read was answered with, and has it judged again by those who had no part in
// the answer: a list of the fences that came by, compared by the definition (G1)
// and by no index; and another node. It also follows a write now and then until
// the last node has it.
//
// A sample's claim is the position that was applied before the read looked. A
// fence above it concerns nobody: it may have come while the answer was on its
// way.

// Sighting is a copy that a node served, and what it claims.
type Sighting struct {
	Partition int
	Epoch     events.Epoch
	Key       string
	Birth     events.Position
	Tags      []string
	// Claim is what the node had applied before it looked, and Digest the digest
	// there: who has another at that position, or none yet, knows nothing of the
	// copy. A log that was shortened gives positions anew, and is read again under
	// the old epoch before the record that opened the next one comes.
	Claim  events.Position
	Digest events.Digest
}

// Opinion is what somebody else thinks of a [Sighting].
type Opinion uint8

const (
	// Abstains: it can't tell, being behind, in another epoch, or knowing only of
	// a fence above the claim.
	Abstains Opinion = iota
	// Agrees: the copy was alive at the claim.
	Agrees
	// Objects: a fence at or below the claim had killed it.
	Objects
)

// Auditors carries sightings between the nodes of a domain. Its methods are
// safe for concurrent use.
type Auditors interface {
	// Consult asks one member for its opinion; an error means that there was
	// none in time.
	Consult(ctx context.Context, member events.Incarnation, s Sighting) (Opinion, error)
	// Advise answers what others consult self about, until ctx is done.
	Advise(ctx context.Context, self events.Incarnation, opinion func(Sighting) Opinion) error
}

// consultTimeout bounds how long another node's opinion is waited for.
const consultTimeout = time.Second

// auditor is a node's own.
type auditor struct {
	n     *Node
	every time.Duration // 0: there is none
	peers Auditors      // nil: no other node is asked

	// armed lets the next read that begins be taken, tracking the next write
	// be followed. Reads look at armed and at nothing else.
	armed, tracking atomic.Bool
	taken           chan Sighting

	seen   []fenceLog // by partition
	served servedLog
	// rereadAt is when the log was last read again, in waiter time.
	rereadAt int64
	count    auditCounts
	reach    histogram
}

type auditCounts struct {
	reads, byLog, reread, unknown, byPeer, logViolations, peerViolations, abstained, writes atomic.Uint64
}

// AuditStats are what the auditor has counted since the node was built.
type AuditStats struct {
	// Reads are the reads taken; CheckedByLog and CheckedByPeer those of them
	// that the fences of the log, or another node, could judge; Abstained those
	// that the other node could not.
	Reads, CheckedByLog, CheckedByPeer, Abstained uint64
	// Reread are those of CheckedByLog for which the log's records were read
	// again; UnknownByLog are the reads that the log could not judge, because
	// what it would take is forgotten or of another epoch. Reads is the sum of
	// CheckedByLog and UnknownByLog.
	Reread, UnknownByLog uint64
	// ViolationsByLog and ViolationsByPeer are copies that should not have been
	// served. Each is a breach of a guarantee, or damage.
	ViolationsByLog, ViolationsByPeer uint64
	// Writes are the writes followed until no node could serve what was before
	// them, Reach how long that took.
	Writes uint64
	Reach  Histogram
}

func (a *auditor) init(n *Node) {
	a.n, a.peers = n, n.deps.Auditors
	a.taken = make(chan Sighting, 1)
	a.seen = make([]fenceLog, n.cfg.Settings.Partitions)
	if n.cfg.AuditRate > 0 {
		a.every = time.Duration(float64(time.Second) / n.cfg.AuditRate)
	}
}

func (a *auditor) stats() AuditStats {
	c := &a.count
	return AuditStats{
		Reads: c.reads.Load(), CheckedByLog: c.byLog.Load(), Reread: c.reread.Load(), UnknownByLog: c.unknown.Load(), CheckedByPeer: c.byPeer.Load(), Abstained: c.abstained.Load(),
		ViolationsByLog: c.logViolations.Load(), ViolationsByPeer: c.peerViolations.Load(),
		Writes: c.writes.Load(), Reach: a.reach.snapshot(),
	}
}

// claim is where a node stood when a read began; zero if the read will not be
// audited.
type claim struct {
	epoch, at uint64
	digest    events.Digest
}

// claim returns what a read that begins now could claim.
func (a *auditor) claim(p *partition) claim {
	if !a.armed.Load() {
		return claim{}
	}
	return p.claim()
}

func (p *partition) claim() claim {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := claim{epoch: uint64(p.world.Epoch()), at: p.applied.Load()}
	c.digest, _ = p.world.DigestAt(events.Position(c.at))
	return c
}

// proves reports whether this node has applied, in the sighting's epoch, the very
// history that the sighting's node had applied at its claim.
func (p *partition) proves(s Sighting) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	d, known := p.world.DigestAt(s.Claim)
	return p.world.Epoch() == s.Epoch && known && d == s.Digest || mutant.On(mutant.AuditOfAnyHistory)
}

// take keeps what a read was answered with, if no other read was quicker and
// the claim counts in the copy's epoch.
func (a *auditor) take(p *partition, c claim, e tiers.Entry) {
	if c.epoch != uint64(e.Epoch()) || !a.armed.CompareAndSwap(true, false) {
		return
	}
	s := Sighting{
		Partition: p.index, Epoch: e.Epoch(), Key: strings.Clone(e.Key()), Birth: e.Birth(),
		Claim: events.Position(c.at), Digest: c.digest,
	}
	for t := range e.Tags() {
		s.Tags = append(s.Tags, strings.Clone(t))
	}
	select {
	case a.taken <- s:
	default: // the last one is still being judged
	}
}

// run takes a read and follows a write every so often, and judges what was
// taken.
func (a *auditor) run(ctx context.Context) error {
	tick := time.NewTicker(a.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			a.armed.Store(true)
			a.tracking.Store(true)
		case s := <-a.taken:
			a.judge(ctx, s)
		}
	}
}

// judge has a sighting judged by everybody who can.
func (a *auditor) judge(ctx context.Context, s Sighting) {
	a.count.reads.Add(1)
	a.served.note(s, a.n.clock.Now().Unix)
	a.judgeByLog(ctx, s)
	member, ok := a.anyOther(s.Partition)
	if a.peers == nil || !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, consultTimeout)
	defer cancel()
	switch opinion, err := a.peers.Consult(ctx, member.Incarnation, s); {
	case err != nil || opinion == Abstains:
		a.count.abstained.Add(1)
	case opinion == Objects && !mutant.On(mutant.AuditHearsNoObjection):
		a.count.byPeer.Add(1)
		a.count.peerViolations.Add(1)
		a.report(s, "another node", "member", string(member.Node))
	default:
		a.count.byPeer.Add(1)
	}
}

// judgeByLog has the log's records judge, or else the list of what came by.
func (a *auditor) judgeByLog(ctx context.Context, s Sighting) {
	var at events.Position
	var known bool
	if a.mayReread() {
		if at, known = a.reread(ctx, s); known || at != 0 {
			a.count.reread.Add(1)
		}
	}
	if at == 0 && !known {
		at, known = a.seen[s.Partition].killer(s)
	}
	// Records of another history may have taken these places meanwhile. What is
	// noted of them comes before the digest that they have, so look at it last.
	if !a.n.parts[s.Partition].proves(s) {
		at, known = 0, false
	}
	switch {
	case at != 0:
		a.count.byLog.Add(1)
		a.count.logViolations.Add(1)
		a.report(s, "the log's fence", "fence", at)
	case known || mutant.On(mutant.AuditCountsUnjudged):
		a.count.byLog.Add(1)
	default:
		a.count.unknown.Add(1)
	}
}

func (a *auditor) report(s Sighting, who string, more ...any) {
	a.n.logger.Error("audit: a copy was served that was dead", append([]any{"judged by", who, "key", s.Key,
		"partition", s.Partition, "birth", s.Birth, "claim", s.Claim, "epoch", s.Epoch.String()}, more...)...)
}

// anyOther returns one of the other members.
func (a *auditor) anyOther(partition int) (coherence.Member, bool) {
	p := a.n.parts[partition]
	p.mu.RLock()
	var others []coherence.Member
	for m := range p.world.Members() {
		if m.Incarnation != a.n.incarnation {
			others = append(others, m)
		}
	}
	p.mu.RUnlock()
	if len(others) == 0 {
		return coherence.Member{}, false
	}
	return others[rand.IntN(len(others))], true
}

// opinion is this node's about what another has served. Only the latest fence of
// a key is known: one above the claim may hide one below it.
func (a *auditor) opinion(s Sighting) Opinion {
	if s.Partition < 0 || s.Partition >= len(a.n.parts) || events.ValidateKey(s.Key) != nil {
		return Abstains
	}
	p := a.n.parts[s.Partition]
	ctx, cancel := context.WithTimeout(a.n.life, consultTimeout/2)
	defer cancel()
	if p.until(ctx, func() bool { return p.applied.Load() >= uint64(s.Claim) }) != nil {
		return Abstains
	}
	fence, _ := p.lookupDisk(s.Key, nil)
	if p.blind.Load() {
		fence = coherence.Fence{} // what guard slots say is a bound, not a fence
	}
	c := coherence.Copy{Key: s.Key, Epoch: s.Epoch, Birth: s.Birth}
	if len(s.Tags) > 0 {
		c.Tags = slices.Values(s.Tags)
	}
	p.mu.RLock()
	life, why := p.world.Explain(c, fence)
	p.mu.RUnlock()
	switch {
	case !p.proves(s): // at last: this node may be following another history by now
	case life != coherence.Dead:
		return Agrees
	case why.Cause == coherence.HardFence && why.Position <= s.Claim:
		return Objects
	}
	return Abstains
}

// follow waits, for a write that was begun at began in waiter time and stands
// at p's position at, until no node can serve what was before it, and notes how
// long that took.
func (a *auditor) follow(p *partition, at events.Position, began int64) {
	if a.every == 0 || !a.tracking.Load() || !a.tracking.CompareAndSwap(true, false) {
		return
	}
	a.n.crew.Go(func() {
		ctx, cancel := context.WithTimeout(a.n.life, 2*a.n.cfg.Settings.LeaseWait())
		defer cancel()
		w := p.inquire(at)
		p.ask(w)
		if err := p.everywhere(ctx, w, false); err != nil {
			if !errors.Is(err, context.Canceled) {
				a.n.logger.Debug("audit: a write was not followed to its end", "position", at, "error", err)
			}
			return
		}
		a.reach.observe(time.Duration(a.n.clock.Waiter() - began))
		a.count.writes.Add(1)
	})
}
