package node

import (
	"context"
	"slices"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Question asks the members of a domain to confirm that they have applied the
// record at At, once they have.
type Question struct {
	Partition int
	Epoch     events.Epoch
	At        events.Position
	// From is who asks, and where the confirmations go.
	From events.Incarnation
}

// Confirmation says that Incarnation has applied everything up to At in all
// its tiers, and that its history up to there has the digest.
type Confirmation struct {
	Partition   int
	Epoch       events.Epoch
	At          events.Position
	Digest      events.Digest
	Incarnation events.Incarnation
}

// Peers carries questions and confirmations between the nodes of a domain.
// Messages may be lost, repeated and late: they make Everywhere writes quick,
// and never make them return too early.
type Peers interface {
	// Ask sends q to every node.
	Ask(q Question) error
	// Confirm sends c to who asked.
	Confirm(to events.Incarnation, c Confirmation) error
	// Listen calls asked with every question, and confirmed with every
	// confirmation that is meant for self, until ctx is done. The functions
	// don't block.
	Listen(ctx context.Context, self events.Incarnation, asked func(Question), confirmed func(Confirmation)) error
}

// maxQuestions bounds the questions, and the confirmations, that wait for their
// record to be applied. One that finds no room is not answered; its writer asks again or waits for a
// pulse.
const maxQuestions = 1024

// asked answers a question as soon as the record has been applied (P48).
func (n *Node) asked(q Question) {
	if q.From == n.incarnation || q.Partition < 0 || q.Partition >= len(n.parts) {
		return
	}
	p := n.parts[q.Partition]
	done := func() bool { return p.applied.Load() >= uint64(q.At) || mutant.On(mutant.AckBeforeDisk) }
	n.later(p, done, func() { p.answer(q) })
}

// later calls f once done holds, unless a lease passes before or too many wait.
func (n *Node) later(p *partition, done func() bool, f func()) {
	select {
	case n.questions <- struct{}{}:
	default:
		return
	}
	wait := func() {
		defer func() { <-n.questions }()
		ctx, cancel := context.WithTimeout(n.life, n.cfg.Settings.Lease)
		defer cancel()
		if p.until(ctx, done) == nil {
			f()
		}
	}
	if !n.crew.Go(wait) {
		<-n.questions
	}
}

// mostConfirmed bounds the records of one batch that are confirmed unasked: a
// member with more of them catches up, and who still waits asks by a message.
const mostConfirmed = 16

// confirmWanted confirms the records that ask for it, once they are applied.
func (p *partition) confirmWanted(steps []coherence.Step) {
	if p.n.peers == nil || len(steps) > mostConfirmed || mutant.On(mutant.ConfirmationUnwanted) {
		return
	}
	for _, s := range steps {
		if s.Mark.ID.Publisher != p.n.incarnation && slices.ContainsFunc(s.Record.Changes, events.WantsConfirmation) {
			q := Question{Partition: p.index, Epoch: p.worldEpoch(), At: s.Mark.Position, From: s.Mark.ID.Publisher}
			// A connection that takes nothing must not hold the next record up.
			p.n.later(p, func() bool { return true }, func() { p.answer(q) })
		}
	}
}

// answer confirms what has been applied, if it was in the epoch that was asked
// for.
func (p *partition) answer(q Question) {
	p.mu.RLock()
	digest, known := p.world.DigestAt(q.At)
	epoch := p.world.Epoch()
	p.mu.RUnlock()
	if !known || epoch != q.Epoch {
		return
	}
	c := Confirmation{Partition: q.Partition, Epoch: epoch, At: q.At, Digest: digest, Incarnation: p.n.incarnation}
	if err := p.n.peers.Confirm(q.From, c); err != nil {
		p.n.logger.Debug("confirmation was not sent", "error", err)
	}
}

// confirmed notes a member's confirmation, if its history is ours (H2).
func (n *Node) confirmed(c Confirmation) {
	if c.Partition < 0 || c.Partition >= len(n.parts) {
		return
	}
	p := n.parts[c.Partition]
	done := func() bool { return p.applied.Load() >= uint64(c.At) }
	if done() {
		p.confirmed(c)
		return
	}
	// The member was quicker than this node.
	n.later(p, done, func() { p.confirmed(c) })
}

func (p *partition) confirmed(c Confirmation) {
	p.mu.RLock()
	own, known := p.world.DigestAt(c.At)
	epoch := p.world.Epoch()
	p.mu.RUnlock()
	sameEpoch := c.Epoch == epoch || mutant.On(mutant.AckOfAnyEpoch)
	sameHistory := known && own == c.Digest || mutant.On(mutant.AckByNumber)
	if !sameEpoch || !sameHistory {
		p.n.stats.acksRefused.Add(1)
		return
	}
	p.pulses.confirmed(c.Incarnation, epoch, c.At)
	p.waiters.wake()
}
