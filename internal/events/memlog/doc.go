// Package memlog is a log in memory, with faults, for tests and simulations.
//
// A [Stream] stands for the server: it holds encoded records and can be
// trimmed, rolled back, recreated and written to past the log. A [Log] is one
// client's view of it, obtained by [Stream.Connect], and implements
// [events.Log]; its faults ([Faults]) lose, repeat, reorder and delay what
// passes between client and server, and [Log.Cut] parts the two.
//
// Guarantees:
//
//   - Towards its callers a Log keeps every promise of [events.Log], whatever
//     faults are injected: faults strike below the port, and a Log finds them
//     out by the same [events.Continuity] that jslog uses.
//   - Time comes from package time alone and blocking from channels, so that a
//     test inside a testing/synctest bubble runs in virtual time. Randomness
//     is the caller's, in the functions of Faults.
//
// Not promised: speed, durability, bounded memory.
//
// Only tests, simulations and trials in one process use it.
package memlog
