// Package clocktest provides a clock for tests that run in virtual time: in a
// bubble of testing/synctest, or wherever package time is what time is.
//
// A [Clock] follows package time, so that timers, deadlines and leases agree,
// and can be stepped to play what only the holder's clock sees: a machine that
// was suspended, a wall clock that was set (clause C2).
package clocktest

import (
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/clock"
)

// Clock is a [clock.Clock]. It is safe for concurrent use.
type Clock struct {
	start  time.Time
	holder atomic.Int64 // nanoseconds ahead of package time
	wall   atomic.Int64 // the same for Unix time, in milliseconds
}

var _ clock.Clock = (*Clock)(nil)

// New returns a clock that starts now.
func New() *Clock { return &Clock{start: time.Now()} }

// Suspend lets d pass on the holder's clock alone, as if the machine had slept:
// timers and the waiter's clock did not notice.
func (c *Clock) Suspend(d time.Duration) { c.holder.Add(int64(d)) }

// Ahead moves Unix time by d, as if the wall clock had been that wrong when the
// process started.
func (c *Clock) Ahead(d time.Duration) { c.wall.Add(d.Milliseconds()) }

// Now implements [clock.Clock].
func (c *Clock) Now() clock.Reading {
	now := time.Now()
	return clock.Reading{Holder: int64(now.Sub(c.start)) + c.holder.Load(), Unix: now.UnixMilli() + c.wall.Load()}
}

// Waiter implements [clock.Clock].
func (c *Clock) Waiter() int64 { return int64(time.Since(c.start)) }

// AfterFunc implements [clock.Clock].
func (c *Clock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
