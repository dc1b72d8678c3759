package memory

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/coocood/freecache"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

const (
	// DefaultBytes is the default for [Config].Bytes.
	DefaultBytes = 64 << 20
	// MinBytes is the least that freecache works with.
	MinBytes = 512 << 10
	// DefaultGuardSlots is the default for [Config].GuardSlots.
	DefaultGuardSlots = 1 << 16
)

// Config says how large a cache is and where its time comes from.
type Config struct {
	// Bytes is the memory for copies, keys and headers, allocated at once.
	// Default 64 MiB, at least 512 KiB. From 4 MiB on an eighth of it is for new
	// keys. An entry may take a 1024th of the rest (less 24 bytes): with 64 MiB
	// nothing above 55 KiB is kept here. What finds the copies, some 30 bytes for
	// each, comes on top.
	Bytes int
	// Ticks is a coarse clock that never runs backwards, by which freecache
	// tells recently used entries from others; a tick of 100 ms lasts for 13
	// years. It is read at every lookup, so it should be a load of a variable.
	// Never wall time. Default: a clock that stands still, and so eviction in
	// the order of insertion.
	Ticks func() uint32
	// GuardSlots is the number of guard slots, a power of two, 16 bytes each;
	// default 65,536. They are shared out among the partitions, at least 1,024
	// to each. Fewer: more fills are refused because another key of their slot
	// was fenced during the load.
	GuardSlots int
	// Partitions is the number of the domain's partitions, default 1, and
	// Partition says in which of them a key lies; it may be nil for one.
	Partitions int
	Partition  func(key string) int
}

// Cache is the first tier. Its methods are safe for concurrent use. [Cache.Fence],
// [Cache.Soften], [Cache.Replace] and [Cache.Reset] belong to the goroutine
// that applies the key's partition.
type Cache struct {
	// now holds the copies. Whoever changes a key's holds the key's guard slot and
	// loads it once: what was put into one that is no longer now is lost.
	now    atomic.Pointer[seats]
	guards guards
	ticks  func() uint32
	full   int // the bytes of [Config]

	suspended atomic.Bool

	tooLarge   atomic.Uint64
	outdated   atomic.Uint64
	turnedAway atomic.Uint64
	resized    atomic.Uint64

	// Those who clear or resize take turns. What is given up had counters; they
	// are kept in before, so that statistics only ever rise.
	clearing sync.Mutex
	before   Stats
}

// New makes an empty cache and starts nothing.
func New(cfg Config) (*Cache, error) {
	if cfg.Bytes == 0 {
		cfg.Bytes = DefaultBytes
	}
	if cfg.GuardSlots == 0 {
		cfg.GuardSlots = DefaultGuardSlots
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = 1
	}
	switch {
	case cfg.Bytes < MinBytes:
		return nil, fmt.Errorf("%w memory tier: %d bytes, at least %d", events.ErrInvalid, cfg.Bytes, MinBytes)
	case cfg.GuardSlots < 0 || cfg.GuardSlots&(cfg.GuardSlots-1) != 0:
		return nil, fmt.Errorf("%w memory tier: %d guard slots, want a power of two", events.ErrInvalid, cfg.GuardSlots)
	case cfg.Partitions < 0 || cfg.Partitions > 1 && cfg.Partition == nil:
		return nil, fmt.Errorf("%w memory tier: %d partitions and no way to tell them apart", events.ErrInvalid, cfg.Partitions)
	}
	c := &Cache{
		guards: newGuards(cfg.GuardSlots, cfg.Partitions, cfg.Partition),
		ticks:  cfg.Ticks, full: cfg.Bytes,
	}
	c.now.Store(newSeats(cfg.Bytes, cfg.Ticks))
	return c, nil
}

// ticks is a Ticks function in freecache's eyes, which speaks of seconds and
// only compares.
type ticks func() uint32

func (t ticks) Now() uint32 { return t() }

type still struct{}

func (still) Now() uint32 { return 0 }

func timer(t func() uint32) freecache.Timer {
	if t == nil {
		return still{}
	}
	return ticks(t)
}

// view returns key's bytes without a copy. freecache copies what it keeps and
// writes to no key.
func view(key string) []byte { return unsafe.Slice(unsafe.StringData(key), len(key)) }

// Lookup returns the copy of key, in dst if its capacity suffices and in new
// memory otherwise; the result belongs to the caller. It may have expired, and
// fences of tags, prefixes, globs or all may cover it: the caller judges.
// Fences of the key itself have acted on it already.
func (c *Cache) Lookup(key string, dst []byte) (tiers.Entry, bool) {
	s := c.now.Load()
	b, err := s.main.GetWithBuf(view(key), dst)
	if err != nil && s.young != nil {
		b, ok := s.young.get(key, dst)
		return tiers.Entry(b), ok
	}
	return tiers.Entry(b), err == nil
}

// Holds reports whether there is a copy of key. It counts as no question.
func (c *Cache) Holds(key string) bool { return c.now.Load().has(key) }

// Put stores the copy that a load or a tier further out yielded, where
// admission has a place for it. It returns [tiers.ErrOutdated] if the key was
// fenced or put at a later position than e's birth, or a copy with a later
// birth is here; [tiers.ErrTooLarge], and drops an older copy, if e is too
// large for freecache. It does not keep e.
func (c *Cache) Put(e tiers.Entry) error { return c.fill(e, arrival{missed: true}) }

// Promote is [Cache.Put] of a copy that lies on the disk, where it is found
// fast enough for one that is asked for once: as a rule it takes the copy the
// second time, if the first was not long ago.
//
// An older copy that readers refuse, because it has expired, may stay until then.
func (c *Cache) Promote(e tiers.Entry) error {
	s, x := c.now.Load(), arrival{missed: true, near: true}
	if x.meet(e.Key(), e); !fits(x.size, s.admit.mainBytes) {
		return c.fill(e, x)
	}
	// Most are turned away, for which nothing has to be locked.
	if x.to, x.by = s.admit.place(x), s.admit; x.to == outside {
		c.turnedAway.Add(1)
		return nil
	}
	return c.fill(e, x)
}

func (c *Cache) fill(e tiers.Entry, x arrival) error {
	key := e.Key()
	g := c.guards.of(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	s := c.now.Load()
	held, newer := s.holds(key, e)
	if (e.Birth() < g.at || newer) && !mutant.On(mutant.NoCheckAtInsert) {
		c.outdated.Add(1)
		return tiers.ErrOutdated
	}
	return c.store(s, key, e, held, x)
}

// Replace applies a Put record: the key is fenced at e's birth, and e is its
// copy, if admission has a place for it. It returns [tiers.ErrTooLarge] if e is
// too large; the older copy is gone then, too.
func (c *Cache) Replace(e tiers.Entry) error {
	key := e.Key()
	g := c.guards.of(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.Birth() < g.at { // not a record that comes next in the log
		c.outdated.Add(1)
		return tiers.ErrOutdated
	}
	g.at = e.Birth()
	s := c.now.Load()
	held, _ := s.holds(key, e)
	return c.store(s, key, e, held, arrival{})
}

// Fence applies a hard fence of key at p: its copy is dropped, and no fill
// that was born before p is taken from now on.
func (c *Cache) Fence(key string, p events.Position) {
	g := c.guards.of(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	if mutant.On(mutant.GuardOneTooLow) {
		p--
	}
	g.at = max(g.at, p)
	if !mutant.On(mutant.FenceLeavesCopy) {
		c.now.Load().drop(key)
	}
}

// Soften applies a soft fence of key at p. In this tier it does what
// [Cache.Fence] does: a lookup here must not have to ask whether its copy is a
// mere fallback, so that a softened copy lives on further out only, beside the
// fence that marks it.
func (c *Cache) Soften(key string, p events.Position) { c.Fence(key, p) }

// Guard returns the position below which births of key are refused. It is at
// least the key's latest fence that was applied here since the start or the
// last reset, and more if another key of its slot was fenced later.
func (c *Cache) Guard(key string) events.Position {
	g := c.guards.of(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

// Remove drops the copy of key. It is no fence: a fill may bring it back.
func (c *Cache) Remove(key string) { c.now.Load().drop(key) }

// Reset drops all copies, those of other partitions too, and forgets the
// fences of partition. It belongs to a new epoch or a raised horizon, by which
// lookups judge what fills of the time before may still put here.
func (c *Cache) Reset(partition int) {
	c.guards.reset(partition)
	c.clear()
}
