package disk

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// A store that has a budget keeps what it takes on disk, its log of writes and
// the files that compactions are about to replace included, below it, by three
// measures, the earlier ones of which make the later ones rare:
//
//   - Its files are small against the budget, so that what compactions hold
//     twice is.
//   - Above the low mark the hand evicts values, the least worth their room
//     first; see [hand].
//   - Above the high mark, or where pebble is behind with merging what was
//     written, only values of keys that were looked up lately are stored, and
//     above the top mark none: puts leave their fences, fills are refused.
//     Nobody waits.
//
// Marks lie well below the budget: what was evicted goes when files are merged,
// and that takes room first.
const (
	lowMark  = 0.65
	highMark = 0.75
	topMark  = 0.85
	// behindMark is how much may wait for pebble to be merged.
	behindMark = 1.0 / 10
	// turnover is how much must be written, as a share of the budget, until
	// what was evicted is gone.
	turnover = 0.15
	// leastBudget is what the smallest files that make sense need.
	leastBudget = 8 << 20
	// measureEvery is how much may be written, as a share of the budget, until
	// the disk is measured again.
	measureEvery = 1.0 / 256
)

// shape fits pebble's files to the budget.
func shape(o *pebble.Options, budget int64) {
	if budget == 0 {
		return
	}
	part := max(budget/128, 128<<10)
	o.MemTableSize = min(o.MemTableSize, uint64(part))
	o.LBaseMaxBytes = min(64<<20, 4*part)
	size := min(2<<20, part)
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = size
		size = min(2*size, part)
	}
}

// meter knows how much of the budget is taken.
type meter struct {
	budget int64 // 0: none
	used   atomic.Int64
	// leaving is how much of used was evicted, and will go with later writes.
	leaving atomic.Int64
	// behind: pebble has to merge what it has, before it gets more.
	behind  atomic.Bool
	unheard int64         // written since the last measurement; the writer's
	wake    chan struct{} // capacity 1: the hand should look
}

func newMeter(budget int64) meter {
	return meter{budget: budget, wake: make(chan struct{}, 1)}
}

func (m *meter) share(of float64) int64 { return int64(of * float64(m.budget)) }

// takes reports whether the value of key may be stored.
func (s *Store) takes(key string) bool {
	m := &s.meter
	switch used := m.used.Load(); {
	case m.budget == 0:
		return true
	case used >= m.share(topMark):
		return false
	case used >= m.share(highMark) || m.behind.Load():
		return s.heat.of(key) > 0
	}
	return true
}

// over is how much the hand should evict.
func (m *meter) over() int64 {
	if m.budget == 0 {
		return 0
	}
	return m.used.Load() - m.leaving.Load() - m.share(lowMark)
}

// wrote takes note of n bytes that the writer wrote.
func (m *meter) wrote(s *Store, n int) {
	if m.budget == 0 {
		return
	}
	m.used.Add(int64(n))
	if m.unheard += int64(n); m.unheard < m.share(measureEvery) {
		return
	}
	left := 1 - float64(m.unheard)/float64(m.share(turnover))
	m.leaving.Store(int64(max(left, 0) * float64(m.leaving.Load())))
	m.unheard = 0
	m.measure(s)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// measure asks pebble what the store takes. Whoever calls is inside.
func (m *meter) measure(s *Store) *pebble.Metrics {
	p := s.db.Metrics()
	m.used.Store(int64(p.DiskSpaceUsage()))
	m.behind.Store(p.Levels[0].AggregateSize() >= m.share(behindMark))
	return p
}
