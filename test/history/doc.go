// Package history judges what clients of a domain saw: it records operations
// with the times of their call and their answer, and decides afterwards whether
// an execution that keeps the guarantees of docs/GUARANTEES.md could have shown
// them. It knows nothing of how a node works.
//
//   - [Strong]: Puts, invalidations and strong reads are linearizable for each
//     key, as a register that may answer "miss" at any time and never an older
//     value (G4).
//   - [Everywhere]: once a write has returned, no read that begins later, at any
//     level, sees what was before it (G5).
//   - [Bracketed]: reads through the cache and reads of the database are one
//     linearizable register (G4b).
//   - [Sessions] and [Bounded] compare reads with the order of the log (G2, G3).
//
// The first three are porcupine's to judge. A history that it can't decide in
// time counts as a violation, and an operation without an answer may take
// effect at any time after its call, or never.
//
// The tests run real processes over real servers, with faults among them, and
// judge what they recorded; the checkers themselves are tried on histories that
// are wrong.
package history
