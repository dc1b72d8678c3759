// Package jslog keeps a domain's logs in NATS JetStream: one stream per
// partition, plus the streams for copies and work.
//
// [Create] makes a domain, once, by an operator's hand; [Open] only looks it
// up and refuses one whose streams are not as they were created. The streams
// hold their records by age alone, deny deletion and purge and know no rollup
// or per-message expiry, so that positions are contiguous and a gap means loss.
//
// Guarantees, beyond those of the port [events.Log]:
//
//   - Nothing rests on the server's duplicate window: a record that was
//     published again after it stands in the log twice.
//   - A follower attaches at the last record it delivered and compares it, so
//     that a log that was recreated, restored or shortened is noticed, also
//     while nothing is published.
//   - A consumer that vanished, stalled or was left behind by its server is
//     replaced within seconds.
//
// Not promised: that an acknowledged record survives the loss of a server
// whose sync_interval is not "always" (see deploy/nats).
//
// Only cmd/* and pkg/client choose this package; everyone else sees the port.
package jslog
