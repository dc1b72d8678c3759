package memory

import (
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/raptorflow/tercet/internal/events"
)

// guard is one guard slot: the latest position at which any of the slot's keys
// was fenced or put. Whoever changes a key's copy holds its slot's lock, and
// that is what makes "is this fill outdated?" and "store it" one step:
//
//  1. a load of k begins, birth 7
//  2. a fence of k at 9 is applied: slot = 9, copy dropped
//  3. the load ends: 7 < 9, refused
//
// Without the slot, 3 would find no copy, no fence, and store a dead value.
type guard struct {
	mu sync.Mutex
	at events.Position
}

// guards holds the slots. Positions of different partitions are not
// comparable, so that each partition has slots of its own.
type guards struct {
	partition func(key string) int // nil: all keys lie in partition 0
	slots     [][]guard            // by partition; a power of two each
}

func newGuards(slots, partitions int, partition func(string) int) guards {
	const fewest = 1 << 10
	each := slots
	for each > fewest && each*partitions > slots {
		each >>= 1
	}
	g := guards{partition: partition, slots: make([][]guard, partitions)}
	for p := range g.slots {
		g.slots[p] = make([]guard, each)
	}
	return g
}

func (g *guards) of(key string) *guard {
	p := 0
	if g.partition != nil {
		p = g.partition(key)
	}
	s := g.slots[p]
	// Not freecache's hash: keys that crowd one of its segments should not
	// crowd a slot as well.
	return &s[xxh3.HashString(key)&uint64(len(s)-1)]
}

func (g *guards) reset(partition int) {
	s := g.slots[partition]
	for i := range s {
		s[i].mu.Lock()
		s[i].at = 0
		s[i].mu.Unlock()
	}
}
