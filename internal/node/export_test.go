package node

import (
	"context"

	"github.com/raptorflow/tercet/internal/tiers"
)

// FetchAll asks the other owners of keys of one partition for any copies, whether alive or not.
func (n *Node) FetchAll(ctx context.Context, keys ...string) []tiers.Entry {
	return n.fetch(ctx, n.of(keys[0]), func(tiers.Entry) bool { return true }, keys...)
}

// ForgetAuditedFences empties the auditor's list of the fences that came by.
func (n *Node) ForgetAuditedFences() {
	for i := range n.audit.seen {
		l := &n.audit.seen[i]
		l.mu.Lock()
		l.seenFences = seenFences{since: l.last, last: l.last}
		l.mu.Unlock()
	}
}
