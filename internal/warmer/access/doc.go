// Package access tells the warmer which keys a node reads: a [Reporter] samples
// reads where they happen and publishes a summary of each second.
//
// Guarantees:
//
//   - A read that is not sampled costs a few nanoseconds, takes no lock and
//     allocates nothing. A sampled one takes the lock of one of [shards] maps.
//   - Memory is bounded: by the keys that one window may hold.
//   - Nothing waits for the network but [Reporter.Run].
//
// Not promised: that a key is reported. Rare keys, keys beyond the bounds and
// summaries that can't be published are lost, and counted.
//
// The node creates one Reporter per domain, calls it from its read path and
// runs it beside its other loops.
package access
