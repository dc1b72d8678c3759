package disk

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/mutant"
)

// cursors are iterators that lookups leave to later ones. What a Get of
// pebble's spends on finding and opening the tables is then spent once between
// two writes, rather than at each lookup.
//
// An iterator sees the store as it was when it was made. So one is used for
// as long as nothing is written, and no lookup misses what it must see:
//  1. the writer applies a commit, counts it here, and then drops it from
//     [pending];
//  2. a lookup finds nothing pending, and reads the count;
//  3. a cursor that was made at that count was made after the commit.
//
// Cursors keep what they read from being freed, on disk too. The next write
// closes those that lie here, and a write comes with every pulse.
type cursors struct {
	writes atomic.Uint64
	quiet  atomic.Int32 // lookups that found none since the last write
	slots  [cursorSlots]struct {
		at atomic.Pointer[cursor]
		_  [56]byte // a cache line each
	}
}

const (
	// cursorSlots is how many lookups at once find a cursor.
	cursorSlots = 8
	// cursorAfter is how many lookups a write is waited for, before one makes
	// a cursor for others: at that rate of writes it pays.
	cursorAfter = 8
)

// cursor belongs to whoever took it.
type cursor struct {
	it     *pebble.Iterator
	writes uint64 // counted before it was made
	name   []byte // room for a row's name
}

// take returns a cursor that sees all that was counted, nil if there is none
// and it isn't time to make one.
func (c *cursors) take(db *pebble.DB) (*cursor, error) {
	writes := c.writes.Load()
	for i := range c.slots {
		slot := &c.slots[i].at
		if slot.Load() == nil {
			continue
		}
		switch held := slot.Swap(nil); {
		case held == nil:
		case held.writes == writes:
			return held, nil
		default:
			held.close()
		}
	}
	if c.quiet.Add(1) <= cursorAfter {
		return nil, nil
	}
	it, err := db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	return &cursor{it: it, writes: writes, name: make([]byte, 0, 256)}, nil
}

// give leaves a cursor to the next lookup.
func (c *cursors) give(held *cursor) {
	if held.writes == c.writes.Load() {
		for i := range c.slots {
			slot := &c.slots[i].at
			if slot.Load() == nil && slot.CompareAndSwap(nil, held) {
				return
			}
		}
	}
	held.close()
}

// wrote counts a write, and closes the cursors that did not see it.
func (c *cursors) wrote() {
	if mutant.On(mutant.CursorsOutliveWrites) {
		return
	}
	c.writes.Add(1)
	c.quiet.Store(0)
	c.drop()
}

// drop closes the cursors that nobody uses.
func (c *cursors) drop() {
	for i := range c.slots {
		slot := &c.slots[i].at
		if slot.Load() == nil {
			continue
		}
		if held := slot.Swap(nil); held != nil {
			held.close()
		}
	}
}

// close ends an iterator; what went wrong with it its last user was told.
func (c *cursor) close() { _ = c.it.Close() }
