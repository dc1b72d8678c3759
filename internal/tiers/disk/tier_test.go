package disk

import (
	"testing"

	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

func open1(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// plant writes a raw row of key.
func plant(t testing.TB, s *Store, key string, row []byte) {
	t.Helper()
	name := append(appendName(nil, s.cfg.Partition(key), kindKey), key...)
	s.filter.add(key)
	if err := s.set(name, row); err != nil {
		t.Fatal(err)
	}
}

func TestTier(t *testing.T) {
	tiertest.Run(t, func(t *testing.T, clock *tiertest.Clock) tiertest.Subject {
		parts := func(key string) int { return len(key) % 3 }
		s := open1(t, Config{Partitions: 3, Partition: parts, MaxEntry: 20_000, Now: clock.Milli})
		return tiertest.Subject{
			Tier: s.Tier(parts), TooLarge: 20_001,
			Plant: func(t *testing.T, key string, raw []byte) {
				plant(t, s, key, append(appendHeader(nil, tiers.Fence{}), raw...))
			},
		}
	})
}
