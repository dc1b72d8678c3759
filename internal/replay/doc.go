// Package replay reads a log again: from first to last or in between, as it is
// or only what concerns some keys, from a domain or from a file, into a file, a
// node that runs, or a node of its own.
//
// It reads, and decides nothing: what a record means for a copy is package
// coherence's to say, and whether a node keeps a copy that it is offered is that
// node's. Nothing that is replayed is ever published to the log it came from, so
// a replay can neither change a value's birth nor bring a dead one back (G6).
//
// Not promised: values that did not ride in the log, being larger than the
// domain's inline_max, and anything older than the log's retention.
package replay
