// Package warmer has hot keys loaded again after the log killed their copies,
// before a reader pays for it.
//
// A [Warmer] follows a domain's log and the summaries of reads that its nodes
// publish (package access). A [Predictor] (package hotset) says which keys that
// are read often a record killed. They settle for a moment (package settle),
// are paced (package pacing), and become requests on the domain's work queue,
// which any node with a loader for the key takes up (package worker). The node
// loads as it does for a reader, so that births, fences and leases hold:
// nothing that a warmer does, twice, late or wrongly, makes a dead value live.
//
// Guarantees:
//
//   - At most Rate requests per second and Burst at once; a key at most once per
//     Interval.
//   - Memory is bounded by the configuration.
//
// Not promised: that a hot key is warm. Requests are dropped where anything is
// full, late or away, and [Counters] tells how many.
//
// Several warmers of one domain may run: requests about one key and fence bear
// one identity, so that the queue keeps one of them.
//
// Package warmer knows no technology; natslink adapts its ports to NATS.
package warmer
