package sim

import (
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/clock"
)

// machineClock is the clock of one machine: it runs at a rate of its own, its
// wall can be stepped, and while the machine is suspended its monotonic time
// stands still.
type machineClock struct {
	mu        sync.Mutex
	start     time.Time
	ppm       int64 // how much faster than true time, in parts per million
	last      int64 // what this clock would show at the last look, never stepped
	mono      int64
	holder    int64
	suspended bool
}

var _ clock.Clock = (*machineClock)(nil)

func newMachineClock(ppm int) *machineClock {
	return &machineClock{start: time.Now(), ppm: int64(ppm)}
}

// advance needs mu.
func (c *machineClock) advance() {
	true := int64(time.Since(c.start))
	now := true + true/1000*c.ppm/1000
	passed := now - c.last
	c.last = now
	c.holder += passed // the boot clock goes on while the machine is suspended
	if !c.suspended {
		c.mono += passed
	}
}

// Now returns a reading that is up to [clock.Resolution] old.
func (c *machineClock) Now() clock.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	return clock.Reading{
		Holder: c.holder - c.holder%int64(clock.Resolution),
		Unix:   c.start.UnixMilli() + c.last/int64(time.Millisecond),
	}
}

func (c *machineClock) Waiter() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	return c.mono
}

func (c *machineClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// step moves the wall clock. Holder time follows the greatest of all clocks:
// forwards it jumps, backwards it does not.
func (c *machineClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	c.holder += max(int64(d), 0)
}

func (c *machineClock) suspend(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	c.suspended = yes
}
