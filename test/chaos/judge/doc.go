// Package judge decides whether what clients were told could have been told by
// a fleet that keeps docs/GUARANTEES.md.
//
// Every judge says how many operations it judged; one that was expected to judge
// and had nothing fails, for a check that never looks never finds. What
// porcupine can't decide in time counts as wrong.
//
//   - G1, G3, G6, G7 and G9 compare the place of the value that a read returned
//     with the fences that had landed before it began, less what its level
//     allows; the last three look at the reads while, or after, what they are about
//     happened.
//   - G2 holds sessions against the log's order.
//   - G4, G4b and G5 are porcupine's (package history).
//   - G8 looks for values from before a change of history.
//   - G10 looks for loads of one key at a time when nothing was wrong.
//   - lost: what was acknowledged and is not in the log, without a new epoch.
//   - unavailable, recovery, leaks: measured, and held against the limits.
package judge
