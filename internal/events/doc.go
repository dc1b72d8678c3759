// Package events holds the nouns of Tercet's log and their wire form.
//
// The log is the only authority on coherence: every write and every
// invalidation is one record in it, and a record's place, its [Position], is
// the only clock that coherence ever uses. This package says what can stand in
// a record and how it is written down; what a record means for a cached copy
// is said by package coherence.
//
// Guarantees:
//
//   - Decoding is total: any bytes either yield a record within [Limits] or a
//     *[DecodeError]; it never panics and never allocates more than a small
//     multiple of the input's length.
//   - Encoding is stable: what any released version wrote, every later version
//     reads. Golden files under testdata hold it to that.
//   - The port [Log] is the only way in and out; the adapters jslog (NATS
//     JetStream) and memlog (in memory, with faults) pass one suite, logtest.
//
// Not promised: that two records of different publishers arrive in the order
// in which their publishers were called. Only the log orders them.
//
// Package events imports no other package of Tercet.
package events
