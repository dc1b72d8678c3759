package node

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// due looks closer at a copy that answers a read and says that it is due: its
// sliding life is prolonged, or a load begins in the background that will replace
// it. The reader has its answer either way.
func (n *Node) due(ctx context.Context, p *partition, fence coherence.Fence, e tiers.Entry, now clock.Reading, o ReadOptions) {
	soft := e.SoftExpiryMilli()
	if soft == 0 || soft > now.Unix || e.Flags()&tiers.FlagNegative != 0 {
		return
	}
	if o.policy.Sliding > 0 {
		n.slide(p, e, now, o)
		return
	}
	if o.Load == nil || o.nested { // a loader's own context does not outlive it
		return
	}
	o.refresh = true
	o.older = append(tiers.Entry(nil), e...)
	n.stats.refreshes.Add(1)
	n.reload(ctx, p, o.older.Key(), fence, o)
}

// slide prolongs a life. Birth and creation stay: a fence kills the copy as
// before, and the policy's TTL ends it.
func (n *Node) slide(p *partition, e tiers.Entry, now clock.Reading, o ReadOptions) {
	h := e.Header()
	before := h.Expiry
	o.policy.slide(&h, time.UnixMilli(now.Unix), n.cfg.Settings.MaxTTL)
	if !h.Expiry.After(before) {
		return
	}
	o.policy.stay(&h, n.cfg.Settings.MaxTTL)
	if mutant.On(mutant.TouchRenewsBirth) {
		h.Birth = events.Position(p.applied.Load())
	}
	longer, err := tiers.Append(nil, &h, e.Payload())
	if err != nil || !p.mayKeep(longer) {
		return
	}
	if !o.Skip.has(SkipMemoryWrite) {
		_ = n.memory.Put(ending(longer, now.Unix, o.policy.MemoryTTL)) // refused: outdated or too large, and counted there
	}
	if !o.Skip.has(SkipDiskWrite) {
		n.keeper.keep(p, ending(longer, now.Unix, o.policy.DiskTTL))
	}
	if n.shared != nil && !o.Skip.has(SkipSharedWrite) {
		n.repair(p, ending(longer, now.Unix, o.policy.SharedTTL))
	}
}
