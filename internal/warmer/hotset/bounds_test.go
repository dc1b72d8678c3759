package hotset

import (
	"fmt"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/warmer/popularity"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

// TestIndexesForgetWithTheRanks: what left the ranks leaves nothing behind.
func TestIndexesForgetWithTheRanks(t *testing.T) {
	const capacity = 10
	s, err := New(Config{Popularity: popularity.Config{Capacity: capacity, HalfLife: time.Minute}, MaxVictims: 1})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	for i := range 1000 {
		now = now.Add(time.Second)
		s.Learn(now, &wire.Summary{Reads: []wire.Read{{
			Key: fmt.Sprintf("a:%d:b", i), Count: 1, Tags: []string{fmt.Sprint("t", i), "all"},
		}}})
	}
	size := func(x index) (n int) {
		for _, keys := range x {
			n += len(keys)
		}
		return n
	}
	if size(s.under) != 2*capacity || len(s.under) != capacity+1 || size(s.tagged) != 2*capacity || len(s.tagged) != capacity+1 || len(s.tags) != capacity {
		t.Errorf("%d and %d under prefixes, %d and %d with tags, %d keys' tags: want 20, 11, 20, 11 and 10",
			size(s.under), len(s.under), size(s.tagged), len(s.tagged), len(s.tags))
	}
}
