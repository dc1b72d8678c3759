package memory_test

import (
	"testing"

	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

func TestTier(t *testing.T) {
	tiertest.Run(t, func(t *testing.T, clock *tiertest.Clock) tiertest.Subject {
		c, err := memory.New(memory.Config{Bytes: 32 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return tiertest.Subject{Tier: c.Tier(clock.Milli), TooLarge: 32 << 10}
	})
}
