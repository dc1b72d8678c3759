// Package trial shows that a fleet stays coherent, and checks it: it starts one
// on this machine with nothing installed, plays a workload of reads and domain
// events on it, tells what happens in a way a person can follow, and judges
// every value that was read against the origin, which is its own.
//
// Guarantees:
//
//   - A run fails ([ErrIncoherent]) if a read returned a value that had been
//     overwritten longer than the bound before the read began, a value that the
//     origin never gave for the key, or if an event's fence never reached a
//     node. Where all nodes are known to have applied every fence (after a
//     narrated change, at the end) the bound is zero.
//   - It ends by itself: after [Options.Duration] and at most some seconds of
//     settling, sixty seconds after its start at the latest, unless it is asked
//     to keep the fleet up. Nothing is left behind, neither goroutines nor
//     files.
//
// Not promised: figures of performance. The origin's loads are slowed down on
// purpose and readers are paced; package bench measures.
//
// The command tercet calls it. Like cmd and pkg/client it is a place where
// technology is chosen (package fleet), for a machine that has none of it.
package trial
