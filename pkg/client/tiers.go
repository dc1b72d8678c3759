package client

import "github.com/raptorflow/tercet/internal/node"

// The tiers, as [Value].Source and the switches name them, nearest first.
const (
	TierMemory = "memory" // this process's
	TierDisk   = "disk"   // this node's
	TierRedis  = "redis"  // the shared one
	TierOwner  = "owner"  // the exchange of copies with other members
)

// TierState says whether this member has a tier, and uses it.
type TierState struct {
	Name string
	// Present: the member has it. On: it is not switched off.
	Present, On bool
	// Advice is what an operator should change about the tier, a sentence each.
	Advice []string
}

// SwitchOff makes this member go on without a tier's copies, at once, until
// SwitchOn or the next start: for a Redis that is being looked into, or a disk
// that nobody trusts. No guarantee depends on it; reads are answered from further
// out. Fences are kept all the same, and so is the witness in Redis. It fails with
// [ErrInvalid] for a name that is no tier's.
func (c *Client) SwitchOff(tier string) error {
	t, err := node.ParseSource(tier)
	if err != nil {
		return err
	}
	return c.node.SwitchOff(t)
}

// SwitchOn ends a SwitchOff.
func (c *Client) SwitchOn(tier string) error {
	t, err := node.ParseSource(tier)
	if err != nil {
		return err
	}
	return c.node.SwitchOn(t)
}

// Tiers says which tiers this member has and uses, nearest first.
func (c *Client) Tiers() []TierState {
	var out []TierState
	for _, s := range c.node.TierStates() {
		out = append(out, TierState{Name: s.Tier.String(), Present: s.Present, On: s.On, Advice: s.Advice})
	}
	return out
}

// sources reads names of tiers.
func sources(names []string) ([]node.Source, error) {
	var out []node.Source
	for _, name := range names {
		t, err := node.ParseSource(name)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}
