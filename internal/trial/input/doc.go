// Package input makes and reads the workloads that a trial plays: sequences of
// reads and of changes, each change with the domain event that announces it
// and with what it truly changes.
//
// A workload comes from a seeded generator ([Shop]) or from a file that others
// recorded ([Open]). Recorded traces mostly know reads only; changes are then
// made up from a seed, spread over the keys in the order they are read.
//
// Guarantees:
//
//   - The same input, options and seed give the same steps, byte for byte.
//   - What a change writes ([Change.Writes]) is told in rows of the origin's
//     database, never in terms of keys that a rule would invalidate: a rule
//     that forgets a key makes stale reads, and the judge sees them.
//   - Reading is bounded: at most [Options.MaxReads] reads, lines of 64 KiB,
//     documents of 8 MiB. What was left out is said in [Workload.LeftOut].
//
// Only package trial calls it. It starts nothing and logs nothing.
package input
