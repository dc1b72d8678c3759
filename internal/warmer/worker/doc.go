// Package worker is the node's end of warming: it takes requests off the
// domain's work queue and has the node load the keys as a reader would.
//
// Guarantees:
//
//   - At most Concurrency loads at a time and Rate per second; fewer while they
//     fail (package pacing).
//   - A request is answered for once: done, refused for another worker to take
//     (a node without a loader for the key, a load that failed), or given up
//     after a bounded number of deliveries or past its deadline.
//
// Not promised: that a request is carried out. Whoever asked does not wait.
//
// The node implements [Reloader]; natslink implements [Source].
package worker
