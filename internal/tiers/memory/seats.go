package memory

import (
	"sync/atomic"

	"github.com/coocood/freecache"

	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// seats is where copies lie, with what decides who gets a place. It has one size
// for life; [Cache.Resize] puts another in its place.
type seats struct {
	// used: a copy was taken. Before, as while a node catches up, there is nothing
	// to look for in lines that come from main memory. It is set under the guard
	// slot of the copy's key, and so whoever has fenced that key since knows.
	used  atomic.Bool
	main  *freecache.Cache
	young *young // nil in a cache too small for two
	admit *admission
}

func newSeats(bytes int, ticks func() uint32) *seats {
	s := &seats{admit: newAdmission(bytes)}
	s.main = freecache.NewCacheCustomTimer(s.admit.mainBytes, timer(ticks))
	askHugePages(s.main)
	if n := s.admit.youngBytes; n > 0 {
		s.young = newYoung(n)
	}
	return s
}

// holds returns where a copy of key lies, and whether it has a later birth than
// e. Births of different epochs don't compare; the later caller wins then. A key
// lies in one segment at most: who puts it holds its guard slot.
func (s *seats) holds(key string, e tiers.Entry) (at seat, newer bool) {
	if !s.used.Load() {
		return outside, false
	}
	look := func(held tiers.Entry) {
		newer = held.Epoch() == e.Epoch() && held.Birth() > e.Birth()
	}
	// In this order: a copy may move from young to main meanwhile.
	if s.young != nil && s.young.peek(key, look) {
		return inYoung, newer
	}
	if nil == s.main.PeekFn(view(key), func(b []byte) error { look(b); return nil }) {
		return inMain, newer
	}
	return outside, false
}

// has reports whether there is a copy of key.
func (s *seats) has(key string) bool {
	if !s.used.Load() {
		return false
	}
	return s.young != nil && s.young.peek(key, func(tiers.Entry) {}) ||
		s.main.PeekFn(view(key), func([]byte) error { return nil }) == nil
}

// drop removes key's copy from wherever it lies.
func (s *seats) drop(key string) {
	if !s.used.Load() {
		return
	}
	fromYoung := func() {
		if s.young != nil && !mutant.On(mutant.YoungSurvives) {
			s.young.del(key)
		}
	}
	if mutant.On(mutant.MainDroppedFirst) {
		defer fromYoung()
	} else {
		fromYoung() // first: the copy may move from young to main meanwhile
	}
	s.main.Del(view(key))
}

// leave is told of a copy whose trial is over, under the lock of its queue.
func (s *seats) leave(hash uint64, e tiers.Entry, asked uint8) {
	if !s.admit.proved(hash, asked) {
		return
	}
	key := e.Key()
	s.admit.took(ringHeader + len(key) + len(e))
	_ = s.main.Set(view(key), e, 0) // it fits: main takes larger ones than young
}

// clear drops all copies and sets the counters to zero.
func (s *seats) clear() {
	if s.young != nil {
		s.young.clear() // first: a copy may move from young to main meanwhile
	}
	s.main.ResetStatistics()
	if s.main.EntryCount() > 0 { // not as at every start: clearing takes a megabyte and more
		s.main.Clear()
	}
	s.admit.emptied()
}

// ringHeader is what freecache keeps beside each entry.
const ringHeader = 24

// store puts e where the older copy lies, or else where admission says. The
// caller holds the key's guard slot.
func (c *Cache) store(s *seats, key string, e tiers.Entry, held seat, x arrival) error {
	if c.suspended.Load() {
		s.drop(key)
		return nil
	}
	if !s.used.Load() {
		s.used.Store(true)
	}
	x.meet(key, e)
	to := held
	switch {
	case !fits(x.size, s.admit.mainBytes):
		to = inMain // where it is refused
	case held == outside, held == inYoung && (!fits(x.size, s.admit.youngBytes) || x.flags&tiers.FlagHighPriority != 0):
		if to = x.to; x.by != s.admit {
			to = s.admit.place(x)
		}
	}
	if held == inYoung || held != outside && held != to {
		s.drop(key) // from main, too, where it may have moved meanwhile
	}
	switch to {
	case outside:
		c.turnedAway.Add(1)
		return nil
	case inYoung:
		s.young.put(x.hash, e, s.leave)
		return nil
	}
	s.admit.took(x.size)
	if err := s.main.Set(view(key), e, 0); err != nil {
		// freecache keeps the older value when it refuses a newer one.
		if !mutant.On(mutant.RefusedSetKeepsOld) {
			s.drop(key)
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
	s := c.now.Load()
	c.keep(s)
	s.clear()
}
