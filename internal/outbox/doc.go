// Package outbox keeps messages on a local disk until they have been delivered.
//
// Guarantees:
//
//   - A message that [Outbox.Append] or [Outbox.Hold] accepted is on the disk,
//     synced, and is delivered at least once, whichever process dies when, as
//     long as somebody opens the same directory again.
//   - Messages are delivered one by one, in the order in which they were
//     accepted. One that can't be delivered yet holds up those behind it; one
//     that never can ([ErrRefused]) is set aside, counted and kept.
//   - What is not delivered yet takes a bounded number of bytes. Beyond it
//     messages are refused with [ErrFull], before anything happened.
//
// Not promised: exactly one delivery; survival of the disk. A directory belongs
// to one process at a time; a second one is refused.
//
// It is for pkg/client, where a service's events and invalidations outlive the
// service's crash.
package outbox
