// Package redis is the second tier, L2: entries in Redis (single server,
// Sentinel or Cluster), shared by all nodes of a domain, and the witness, the
// small record that outlives the log.
//
// Guarantees:
//
//   - It touches names that begin with tercet:<domain>: and no others.
//   - What it answers is whole, of the key and of the epoch that were asked
//     for; anything else under that name is a counted miss, and is removed.
//   - Of two entries of one key and epoch the one with the newer birth stays,
//     whatever the order of Puts, as long as Redis keeps what it took.
//   - Its troubles are no one else's: an operation ends within its timeout, a
//     breaker stops asking a server that does not answer, a bulkhead bounds
//     how many callers wait, and all of that comes back as
//     [tiers.ErrUnavailable], at once where it is known beforehand.
//
// Not promised: that Redis keeps anything, or does not bring back what it once
// held: a failover, a restore or a flush may do either. Readers judge every
// entry by its birth against their own fences; the guard in Put saves misses
// and is no safety.
//
// A lone caller's command goes straight to the server. While commands are
// under way, those that arrive are gathered and leave together in one
// pipeline, led by one of their callers; the package starts no goroutine.
//
// Package node is the caller.
package redis
