package servertest

import (
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// SwitchOff implements server.Cache; it is noted, and changes nothing else.
func (c *Cache) SwitchOff(t node.Source) error { return c.switchTier(t, true) }

// SwitchOn implements server.Cache.
func (c *Cache) SwitchOn(t node.Source) error { return c.switchTier(t, false) }

func (c *Cache) switchTier(t node.Source, off bool) error {
	if t > node.FromOwner {
		return fmt.Errorf("%w tier %q", events.ErrInvalid, t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off[t] = off
	return nil
}

// TierStates implements server.Cache: there is everything but owners.
func (c *Cache) TierStates() []node.TierState {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []node.TierState
	for _, t := range node.Tiers {
		out = append(out, node.TierState{Tier: t, Present: t != node.FromOwner, On: !c.off[t]})
	}
	return out
}
