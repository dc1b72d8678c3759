// Package clock reads time the three ways that the protocol needs it.
//
//   - Holder time is for who holds a lease. It advances by the greatest of
//     what the monotonic, the boot and the wall clock advanced: a machine that
//     was suspended, or whose wall clock was stepped forward, finds its lease
//     lapsed rather than valid (clause C2 of docs/PROTOCOL.md).
//   - Waiter time is for who waits until another's lease has lapsed. It never
//     jumps ahead: the monotonic clock.
//   - Unix time is for expiry. It starts at the wall clock's reading and then
//     follows the boot clock, so that a step of the wall clock moves no
//     deadline. Expiry is no means of coherence.
//
// A [System] clock costs a few nanoseconds to read: between two readings of
// the operating system's clocks, at most [Resolution] apart, it returns the
// last one. The processor's cycle counter tells how old that is, so that a
// process that was stopped in between can't mistake it for the present.
package clock

import "time"

// Resolution is how old a reading that [System.Now] returns may be.
const Resolution = 200 * time.Microsecond

// Reading is one look at the clocks.
type Reading struct {
	// Holder is holder time in nanoseconds since the clock's start.
	Holder int64
	// Unix is milliseconds since 1970.
	Unix int64
}

// Clock is read by nodes. Implementations are safe for concurrent use.
type Clock interface {
	// Now returns a recent reading: at most [Resolution] old.
	Now() Reading
	// Waiter returns waiter time in nanoseconds since the clock's start.
	Waiter() int64
	// AfterFunc calls f in its own goroutine once d has passed on the waiter's
	// clock; stop prevents that if it is not too late.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}
