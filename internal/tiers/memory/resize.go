package memory

import (
	"fmt"
	"runtime/debug"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Resize changes the cache's size, at least 512 KiB. It drops all copies:
// freecache can't give back a part of itself. The old memory goes back to the
// operating system before the new is asked for, so that there is never more of
// it than the larger of the two; that takes a garbage collection, which the
// caller waits for and nobody else.
//
// What fences say is kept elsewhere and stays. A call that began before may
// still answer from, or write to, what was given up, as it might have if the
// change had come a moment later; nobody finds there afterwards what it wrote.
func (c *Cache) Resize(bytes int) error {
	if bytes < MinBytes {
		return fmt.Errorf("%w memory tier: %d bytes, at least %d", events.ErrInvalid, bytes, MinBytes)
	}
	c.clearing.Lock()
	defer c.clearing.Unlock()
	if bytes == c.now.Load().bytes() {
		return nil
	}
	if mutant.On(mutant.ResizeForgetsFences) {
		for p := range c.guards.slots {
			c.guards.reset(p)
		}
	}
	c.swap(newSeats(MinBytes, c.ticks))
	debug.FreeOSMemory()
	if bytes > MinBytes {
		c.swap(newSeats(bytes, c.ticks))
	}
	c.resized.Add(1)
	return nil
}

// Bytes returns the cache's present size.
func (c *Cache) Bytes() int { return c.now.Load().bytes() }

func (s *seats) bytes() int { return s.admit.mainBytes + s.admit.youngBytes }

// swap gives up the present seats. The caller holds clearing.
func (c *Cache) swap(to *seats) {
	old := c.now.Swap(to)
	c.keep(old)
}

// keep adds up what s has counted, before its counters go back to zero. The
// caller holds clearing.
func (c *Cache) keep(s *seats) {
	n := s.count()
	c.before.Hits += n.Hits
	c.before.Misses += n.Misses
	c.before.Evacuated += n.Evacuated
}
