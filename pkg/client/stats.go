package client

import (
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/tiers/redis"
)

// TierStats is what a member's tiers have counted since [Open]; its node's are
// with [Client.Node].
type TierStats struct {
	Memory memory.Stats
	Disk   disk.Stats
	// Packing is what became of values on their way out of memory and back.
	Packing pack.Stats
	// Shared is nil without a shared tier.
	Shared *redis.Stats
}

// TierStats returns a snapshot. It takes locks of the tiers: for a scrape, not
// for a request.
func (c *Client) TierStats() TierStats {
	s := TierStats{Memory: c.l1.Stats(), Disk: c.l3.stats(), Packing: c.packer.Stats()}
	if c.l2 != nil {
		shared := c.l2.Stats()
		s.Shared = &shared
	}
	return s
}
