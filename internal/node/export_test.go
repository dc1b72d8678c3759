package node

import (
	"context"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// FetchAll asks the other owners of keys of one partition for any copies, whether alive or not.
func (n *Node) FetchAll(ctx context.Context, keys ...string) []tiers.Entry {
	return n.fetch(ctx, n.of(keys[0]), func(tiers.Entry) bool { return true }, keys...)
}

// Sight returns a sighting of a copy as this node would claim it.
func (n *Node) Sight(key string, birth, claim events.Position, tags ...string) Sighting {
	p := n.of(key)
	s := Sighting{Partition: p.index, Key: key, Birth: birth, Claim: claim, Tags: tags}
	p.mu.RLock()
	defer p.mu.RUnlock()
	s.Epoch = p.world.Epoch()
	s.Digest, _ = p.world.DigestAt(claim)
	return s
}

// Audit has a sighting judged.
func (n *Node) Audit(s Sighting) { n.audit.judge(context.Background(), s) }

// Opinion is this node's about another's sighting.
func (n *Node) Opinion(s Sighting) Opinion { return n.audit.opinion(s) }

// ForgetAuditedFences empties the auditor's list of the fences that came by.
func (n *Node) ForgetAuditedFences() {
	for i := range n.audit.seen {
		l := &n.audit.seen[i]
		l.mu.Lock()
		l.seenFences = seenFences{since: l.last, last: l.last}
		l.mu.Unlock()
	}
}
