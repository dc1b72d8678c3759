package link

import (
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/pkg/client"
)

// Policies returns the configured policies of keys as a client takes them.
func Policies(c *config.Config) []client.KeyPolicy {
	var all []client.KeyPolicy
	for _, p := range c.Policies {
		all = append(all, client.KeyPolicy{Match: p.Match, Policy: client.Policy{
			TTL: p.TTL, NegativeTTL: p.NegativeTTL, Jitter: p.Jitter, Sliding: p.Sliding, EagerAfter: p.EagerAfter,
			MaxStale: p.MaxStale, Fallback: fallbacks[p.Fallback], Throttle: p.Throttle,
			SoftTimeout: p.SoftTimeout, HardTimeout: p.HardTimeout,
			MemoryTTL: p.MemoryTTL, DiskTTL: p.DiskTTL, SharedTTL: p.SharedTTL,
		}})
	}
	return all
}

// fallbacks are the words of the file.
var fallbacks = map[string]client.When{
	"fail": client.IfOriginFails, "reload": client.WhileReloading, "never": client.Never,
}
