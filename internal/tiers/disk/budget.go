package disk

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/raptorflow/tercet/internal/mutant"
)

// A store that has a budget keeps what it takes on disk, its log of writes and
// the files that compactions are about to replace included, below it:
//
//	files and log + room for the next merge + what is written meanwhile <= full mark
//
// The room is what pebble may write before the files that this replaces go. It
// is bounded, since no merge is larger than [mergeRoom] but for those of level 0,
// which take in that and the level below at most; and a value for which the sum
// has no room is not stored: a put leaves its fence, a fill is refused. Nobody
// waits. Two measures keep that rare:
//
//   - Above the low mark the hand evicts values, the least worth their room
//     first; see [hand].
//   - Above the high mark, or where pebble is behind with merging what was
//     written, only values of keys that were looked up lately are stored.
//
// Marks lie well below the budget: what was evicted goes when files are merged,
// and until then lies on disk beside what came instead. Above the full mark is what
// can't be refused: fences, and files that nobody has come to remove yet.
const (
	lowMark  = 0.55
	highMark = 0.72
	fullMark = 0.92
	// behindMark is how much may wait for pebble to be merged.
	behindMark = 1.0 / 8
	// turnover is how much must be written, as a share of the budget, until
	// what was evicted is gone.
	turnover = 0.15
	// leastBudget is what the smallest files that make sense need.
	leastBudget = 8 << 20
	// measureEvery is how much may be written, as a share of the budget, until
	// the disk is measured again.
	measureEvery = 1.0 / 256
	// tableShare is how large a table, a memtable and a manifest may be.
	tableShare, leastTable = 1.0 / 128, 128 << 10
	// mergedTables are what a merge below level 0 starts with: one table, the ten
	// that it may overlap, and where those begin and end.
	mergedTables = 12
	// unseenTables is what pebble does not count: what two logs were given by the
	// file system and have not used yet, and the last manifest.
	unseenTables = 3
)

func tableSize(budget int64) int64 { return max(int64(tableShare*float64(budget)), leastTable) }

// mergeRoom is how much a merge below level 0 may write, in bytes.
func mergeRoom(budget int64) int64 { return max(budget/10, mergedTables*tableSize(budget)) }

// shape fits pebble's files to the budget.
func shape(o *pebble.Options, budget int64) {
	if budget == 0 {
		return
	}
	part := tableSize(budget)
	o.FS = boundedFS{o.FS, uint64(2 * mergeRoom(budget))}
	o.MemTableSize = min(o.MemTableSize, uint64(part))
	o.MaxManifestFileSize = part
	o.LBaseMaxBytes = min(64<<20, 4*part)
	// One that merges three levels at once is three times as large.
	o.Experimental.MultiLevelCompactionHeuristic = pebble.NoMultiLevel{}
	size := min(2<<20, part)
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = size
		size = min(2*size, part)
	}
}

// boundedFS says that the disk has no more than free bytes: a merge that could
// take in more tables at little cost takes in half of what there is.
type boundedFS struct {
	vfs.FS
	free uint64
}

func (fs boundedFS) Unwrap() vfs.FS { return fs.FS }

func (fs boundedFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := fs.FS.GetDiskUsage(path)
	if err != nil { // not every file system knows
		u = vfs.DiskUsage{AvailBytes: fs.free, TotalBytes: fs.free}
	}
	u.AvailBytes = min(u.AvailBytes, fs.free)
	return u, nil
}

// meter knows how much of the budget is taken.
type meter struct {
	budget int64 // 0: none
	// used are the files and the log, without what is being merged; room is what
	// that may take, and what is in memory once it is written out.
	used, room atomic.Int64
	// leaving is how much of used was evicted, and will go with later writes.
	leaving atomic.Int64
	// behind: pebble has to merge what it has, before it gets more.
	behind atomic.Bool
	// unheard was written since the last measurement, coming are values in the
	// write that is being prepared; the writer's.
	unheard, coming int64
	wake            chan struct{} // capacity 1: the hand should look
}

func newMeter(budget int64) meter {
	return meter{budget: budget, wake: make(chan struct{}, 1)}
}

func (m *meter) share(of float64) int64 { return int64(of * float64(m.budget)) }

// writtenTwice: what is written lies in the log and, before that goes, in a
// table.
const writtenTwice = 2

// takes reports whether a value of size bytes may be stored for key with the
// next write, and notes that it will be. It is the writer's.
func (s *Store) takes(key string, size int) bool {
	m := &s.meter
	if m.budget == 0 {
		return true
	}
	coming := m.coming + writtenTwice*int64(size)
	if !s.hasRoom(key, coming) {
		return false
	}
	m.coming = coming
	return true
}

// hasRoom reports whether there is room for key's value among coming bytes.
func (s *Store) hasRoom(key string, coming int64) bool {
	m := &s.meter
	used := m.used.Load()
	if used+m.room.Load()+coming > m.share(fullMark) {
		return false
	}
	return used < m.share(highMark) && !m.behind.Load() || s.heat.of(key) > 0
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
	m.coming = 0
	m.used.Add(writtenTwice * int64(n))
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
	m.used.Store(int64(p.DiskSpaceUsage()) - p.Compact.InProgressBytes)
	m.room.Store(m.merging(p) + int64(p.MemTable.Size) + unseenTables*tableSize(m.budget))
	m.behind.Store(p.Levels[0].AggregateSize() >= m.share(behindMark))
	return p
}

// merging is how much the next merge may write.
func (m *meter) merging(p *pebble.Metrics) int64 {
	if mutant.On(mutant.MergesTakeNoRoom) {
		return 0
	}
	var base int64
	for _, l := range p.Levels[1 : len(p.Levels)-1] { // above the last pebble puts another soon
		if base = l.AggregateSize(); base > 0 {
			break
		}
	}
	return max(mergeRoom(m.budget), p.Levels[0].AggregateSize()+base)
}
