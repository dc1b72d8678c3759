package disk

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/tiers"
)

// pendingMax is how many commits may wait for the writer; the next one waits
// itself. It bounds what a stall of the disk gathers in memory, and what a
// lookup looks through meanwhile.
const pendingMax = 64

// pending holds the commits that lookups must see and pebble doesn't have yet.
//
// A lookup asks it first and pebble second, and a commit is dropped here only
// once pebble has it, so that no lookup falls between the two:
//  1. a lookup finds nothing pending;
//  2. the writer applies a commit, and drops it here;
//  3. the lookup reads pebble, and finds it there.
type pending struct {
	n       atomic.Int32 // len(commits), for lookups that find it empty
	mu      sync.RWMutex
	commits []*commit // oldest first
}

// change is what a commit leaves of a key's row.
type change struct {
	fence tiers.Fence
	held  []byte // the entry's bytes, nil for none
}

// commit is a batch on its way through the writer.
type commit struct {
	owner     *Batch
	partition int
	b         *pebble.Batch
	// rows and versions are what b does to keys. dropped: rows that are not
	// among them are gone.
	rows     map[string]change
	versions map[string]uint64
	dropped  bool
}

func newCommit(b *Batch) *commit {
	return &commit{
		owner: b, partition: b.partition, b: b.s.db.NewBatch(),
		rows: make(map[string]change), versions: make(map[string]uint64),
	}
}

// drop forgets the rows, since all of them are about to go.
func (c *commit) drop() {
	clear(c.rows)
	clear(c.versions)
	c.dropped = true
}

func (c *commit) reset() {
	c.b.Reset()
	clear(c.rows)
	clear(c.versions)
	c.dropped = false
}

// answer is nil: nobody waits.
func (c *commit) answer() chan error { return nil }

func (c *commit) do(s *Store) error {
	if err := s.db.Apply(c.b, pebble.NoSync); err != nil {
		// The store is dead before anybody could miss the commit.
		return s.failed("commit", err)
	}
	s.pending.drop(c)
	c.reset()
	select {
	case c.owner.spare <- c:
	default:
	}
	return nil
}

func (p *pending) add(c *commit) {
	p.mu.Lock()
	p.commits = append(p.commits, c)
	p.n.Store(int32(len(p.commits)))
	p.mu.Unlock()
}

func (p *pending) drop(c *commit) {
	p.mu.Lock()
	i := slices.Index(p.commits, c)
	p.commits = slices.Delete(p.commits, i, i+1)
	p.n.Store(int32(len(p.commits)))
	p.mu.Unlock()
}

// row calls fn with the latest that a pending commit does to key, while that
// can't change, and reports whether there is anything; fn gets the zero change
// where the row is gone.
func (p *pending) row(partition int, key string, fn func(change)) bool {
	if p.n.Load() == 0 {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, c := range slices.Backward(p.commits) {
		if c.partition != partition {
			continue
		}
		if row, ok := c.rows[key]; ok || c.dropped {
			fn(row)
			return true
		}
	}
	return false
}

// version is like row, of the row version of key's latest Put.
func (p *pending) version(partition int, key string) (v uint64, known, found bool) {
	if p.n.Load() == 0 {
		return 0, false, false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, c := range slices.Backward(p.commits) {
		if c.partition != partition {
			continue
		}
		if v, ok := c.versions[key]; ok || c.dropped {
			return v, ok, true
		}
	}
	return 0, false, false
}
