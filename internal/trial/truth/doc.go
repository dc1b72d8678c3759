// Package truth is a trial's origin: a database of versioned rows, and the
// judge of every value that a cache returns.
//
// A change writes rows under one commit number. A value is computed from rows;
// it carries the commit number of the snapshot it was computed from, the rows,
// and a sum over all of it. So each answer of a cache can be judged later, by
// comparing numbers: it is overwritten if any of its rows was written after its
// snapshot, and by when is known too.
//
// Guarantees:
//
//   - A [Truth.Load] is a consistent snapshot: it sees every commit that
//     returned before it began, and a commit in full or not at all.
//   - [Truth.Judge] does not believe the value: its key, its commit and its
//     sum are checked, and what is not this origin's for the key is [Wrong].
//
// Not promised: that a value which is not the newest was ever in the cache
// rightly; the judge knows the origin's history, not the log's.
//
// All methods are safe for concurrent use. Only package trial calls it.
package truth
