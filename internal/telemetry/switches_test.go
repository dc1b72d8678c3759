package telemetry

import (
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/node"
)

// A tier that was switched off tells so; one that the node does not have tells
// nothing.
func TestSwitches(t *testing.T) {
	got := scrape(t, Switches(func() []node.TierState {
		return []node.TierState{
			{Tier: node.FromMemory, Present: true, On: true}, {Tier: node.FromDisk, On: true}, {Tier: node.FromShared, Present: true},
		}
	}))
	for _, want := range []string{`tercet_tier_on{tier="memory"} 1`, `tercet_tier_on{tier="redis"} 0`} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "disk") {
		t.Errorf("a tier that is not there is told of in\n%s", got)
	}
}
