// Package groupcommit gathers changes into records: while one record is on its
// way into the log, what arrives forms the next.
//
// Guarantees:
//
//   - The changes of one [Committer.Append] travel in one record, in order.
//   - Records of one Committer enter the log one after the other; the only
//     exception is a record that all its callers gave up on, which the log
//     goes on publishing while the next one sets out.
//   - No caller waits for another: a caller whose context ends returns at
//     once, and the rest of its record is not disturbed.
//   - Nothing goes wrong silently: an Append that doesn't succeed says whether
//     its changes certainly are not in the log ([events.ErrNotLanded]) or may be
//     ([events.ErrIndeterminate]).
//
// Not promised: that concurrent Appends keep the order of their calls.
//
// The shells that write to a log use it: node, invalidator, client.
package groupcommit
