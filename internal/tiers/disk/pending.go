package disk

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// pendingMax is how many commits may wait for the writer; the next one that can't
// join one of them (see [pending.join]) waits itself. It bounds what a stall of the disk gathers in memory, and what a
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
	held  tiers.Entry // nil for none
}

// rowChange is a key's row after a change.
type rowChange struct {
	key string
	change
}

// commit is a batch on its way through the writer.
type commit struct {
	owner     *Batch
	partition int
	b         *pebble.Batch
	// rows are what it does to keys, in order; the writer adds them to b.
	// dropped: rows that are not among them are gone.
	rows    []rowChange
	held    int      // bytes of values in rows
	order   []placed // scratch, for write
	dropped bool
	// forgotten is where the partition's floor may rise to.
	forgotten events.Position
	// versions are the row versions that b sets.
	versions map[string]uint64
	// index finds the latest of many rows. It is made when somebody looks:
	// most of those that a catching-up node writes nobody ever looks for.
	indexing sync.Mutex
	index    map[string]int
	// begun: the writer is at it, and nothing may be added. Guarded by
	// pending.mu.
	begun bool
	// ripe: so few rows joined last that the node has caught up. Guarded by
	// pending.mu.
	ripe bool
	// since is when it was handed in.
	since time.Time
}

// fewRows are searched one by one.
const fewRows = 16

func newCommit(b *Batch) *commit {
	return &commit{owner: b, partition: b.partition, b: b.s.db.NewBatch(), versions: make(map[string]uint64)}
}

// row returns the latest change of key; found also where the row is gone.
func (c *commit) row(key string) (row change, found bool) {
	if len(c.rows) <= fewRows {
		for i := len(c.rows) - 1; i >= 0; i-- {
			if c.rows[i].key == key {
				return c.rows[i].change, true
			}
		}
		return change{}, c.dropped
	}
	c.indexing.Lock()
	defer c.indexing.Unlock()
	if c.index == nil {
		c.index = make(map[string]int, len(c.rows))
		for i, r := range c.rows {
			c.index[r.key] = i
		}
	}
	if i, ok := c.index[key]; ok {
		return c.rows[i].change, true
	}
	return change{}, c.dropped
}

func (c *commit) add(r rowChange) {
	if c.index != nil {
		c.index[r.key] = len(c.rows)
	}
	c.rows = append(c.rows, r)
	c.held += len(r.held)
}

// drop forgets the rows, since all of them are about to go.
func (c *commit) drop() {
	c.forget()
	c.dropped = true
}

func (c *commit) forget() {
	clear(c.rows) // don't keep the entries alive
	c.rows, c.index, c.held = c.rows[:0], nil, 0
	clear(c.versions)
	c.dropped, c.forgotten = false, 0
}

func (c *commit) reset() {
	c.b.Reset()
	c.forget()
	c.begun, c.ripe = false, false
}

// recycle lets c's owner use it again.
func (c *commit) recycle() {
	c.reset()
	select {
	case c.owner.spare <- c:
	default:
	}
}

// write adds the rows to the pebble batch: of each key the latest, and in
// pebble's order, which it takes in faster.
func (c *commit) write(s *Store) error {
	if c.dropped {
		s.floors[c.partition].Store(0)
	}
	if err := s.floors.raise(c.b, c.partition, c.forgotten); err != nil {
		return err
	}
	var name, row []byte
	c.order = inOrder(c.order[:0], c.rows)
	for n, o := range c.order {
		r := &c.rows[o.row]
		if n+1 < len(c.order) && c.order[n+1].head == o.head && c.rows[c.order[n+1].row].key == r.key {
			continue
		}
		held := r.held // lookups read c.rows meanwhile
		if len(held) > 0 && !s.takes(r.key, len(held)) {
			s.unkept.Add(1)
			held = nil
		}
		name = append(appendName(name[:0], c.partition, kindKey), r.key...)
		row = appendFence(row[:0], name, r.fence)
		if len(held) > 0 {
			var err error
			if row, err = s.appendValue(row, held, r.fence); err != nil {
				return err
			}
		}
		if err := c.b.Set(name, row, nil); err != nil {
			return err
		}
	}
	return nil
}

// answer is nil: nobody waits.
func (c *commit) answer() chan error { return nil }

func (c *commit) do(s *Store) error {
	s.gather(c)
	s.pending.begin(c)
	err := c.write(s)
	if err == nil {
		err = s.apply(c.b)
	}
	if err != nil {
		// The store is dead before anybody could miss the commit.
		return s.failed("commit", err)
	}
	s.pending.drop(c)
	c.recycle()
	return nil
}

func (p *pending) add(c *commit) {
	c.since = time.Now()
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
		if row, ok := c.row(key); ok {
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
