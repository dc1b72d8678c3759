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
	s.filter.add(key)
	if err := s.set(rowName(s, key), row); err != nil {
		t.Fatal(err)
	}
}

// rowOf is the row of key with fence f and the value e, nil for none.
func rowOf(t testing.TB, s *Store, key string, f tiers.Fence, e tiers.Entry) []byte {
	t.Helper()
	row := appendFence(nil, rowName(s, key), f)
	if e == nil {
		return row
	}
	row, err := s.appendValue(row, e, f)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func rowName(s *Store, key string) []byte {
	return append(appendName(nil, s.cfg.Partition(key), kindKey), key...)
}

func TestTier(t *testing.T) {
	tiertest.Run(t, func(t *testing.T, clock *tiertest.Clock) tiertest.Subject {
		parts := func(key string) int { return len(key) % 3 }
		s := open1(t, Config{Partitions: 3, Partition: parts, MaxEntry: 20_000, Now: clock.Milli})
		return tiertest.Subject{
			Tier: s.Tier(parts), TooLarge: 20_001,
			Plant: func(t *testing.T, key string, raw []byte) {
				row := rowOf(t, s, key, tiers.Fence{}, nil)
				if e, err := tiers.Parse(raw); err == nil {
					row = rowOf(t, s, key, tiers.Fence{}, e)
				} else if len(raw) > 0 {
					row = append(append(row, 0), raw...)
				}
				plant(t, s, key, row)
			},
		}
	})
}
