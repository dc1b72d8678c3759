// Package workload keeps a fleet busy the way services do, and writes down all
// that they were told.
//
// A [Workload] is a number of seeded clients that go through RESP, HTTP and
// embedded members, an origin (SQLite) that answers late, and an observer who
// sees the log as it is applied. Keys belong to a [Lane], which says how they
// are written and what may be believed of them:
//
//   - register: Set, invalidations by key, tag, prefix and of everything;
//     reads at every level
//   - everywhere: writes of concern everywhere; reads of the weak levels
//   - bracketed: transactions of the database inside brackets, loads, and
//     queries of the database itself
//   - loaded: rows that are committed first and fenced afterwards, by an
//     invalidation or by a domain event through the invalidator; loads that take
//     their snapshot and answer late; batches
//   - herd: keys that everybody asks for at once
//
// Keys are used for a generation and then left, so that the history of each
// stays short enough to be judged; some reads go back to old ones.
//
// It judges nothing, and knows of no fault: package judge does with what
// [Workload.Record] returns.
package workload
