package memory

import (
	"github.com/coocood/freecache"

	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// holds returns where a copy of key lies, and whether it has a later birth than
// e. Births of different epochs don't compare; the later caller wins then. A key
// lies in one segment at most: who moves it holds its guard slot.
func (c *Cache) holds(key string, e tiers.Entry) (at seat, newer bool) {
	look := func(f *freecache.Cache) bool {
		return nil == f.PeekFn(view(key), func(b []byte) error {
			held := tiers.Entry(b)
			newer = held.Epoch() == e.Epoch() && held.Birth() > e.Birth()
			return nil
		})
	}
	switch {
	case look(c.free):
		return inMain, newer
	case c.young != nil && look(c.young):
		return inYoung, newer
	}
	return outside, false
}

// ringHeader is what freecache keeps beside each entry.
const ringHeader = 24

// store puts e where the older copy lies, or else where admission says. The
// caller holds the key's guard slot.
func (c *Cache) store(key string, e tiers.Entry, held seat, x arrival) error {
	if c.suspended.Load() {
		c.drop(key)
		return nil
	}
	x.hash, x.size, x.flags = hashOf(key), ringHeader+len(key)+len(e), e.Flags()
	to := held
	switch {
	case !fits(x.size, c.admit.mainBytes):
		to = inMain // where it is refused
	case held == outside, held == inYoung && !fits(x.size, c.admit.youngBytes):
		to = c.admit.place(x)
	}
	if held != outside && held != to {
		c.drop(key)
	}
	switch to {
	case outside:
		c.turnedAway.Add(1)
		return nil
	case inYoung:
		return c.set(c.young, key, e)
	}
	c.admit.took(x.size)
	return c.set(c.free, key, e)
}

func (c *Cache) set(f *freecache.Cache, key string, e tiers.Entry) error {
	if err := f.Set(view(key), e, 0); err != nil {
		// freecache keeps the older value when it refuses a newer one.
		if !mutant.On(mutant.RefusedSetKeepsOld) {
			c.drop(key)
		}
		c.tooLarge.Add(1)
		return tiers.ErrTooLarge
	}
	return nil
}

// clear drops all copies.
func (c *Cache) clear() {
	c.clearing.Lock()
	defer c.clearing.Unlock()
	for _, f := range c.segments() {
		if f.EntryCount() == 0 {
			continue // as at every start; clearing takes a megabyte and more
		}
		c.before.Hits += uint64(f.HitCount())
		c.before.Evacuated += uint64(f.EvacuateCount())
		if f == c.last() {
			c.before.Misses += uint64(f.MissCount())
		}
		f.Clear()
	}
	c.admit.emptied()
}

func (c *Cache) segments() []*freecache.Cache {
	if c.young == nil {
		return []*freecache.Cache{c.free}
	}
	return []*freecache.Cache{c.free, c.young}
}

// last is the segment that a lookup asks last: its misses are the cache's.
func (c *Cache) last() *freecache.Cache {
	if c.young == nil {
		return c.free
	}
	return c.young
}
