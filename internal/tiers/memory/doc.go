// Package memory is the first tier, L1: copies in the process's own memory, in
// freecache's ring buffers and a few of its own, out of the garbage collector's
// sight.
//
// Guarantees:
//
//   - A fill and a fence of one key exclude each other: [Cache.Put] of a copy
//     whose load began before a fence that was applied here meanwhile is
//     refused, in whatever order the two arrive (row 23 of the protocol's
//     review).
//   - A refused value leaves no older copy of its key behind, which freecache
//     by itself does.
//   - A lookup into a buffer that suffices allocates nothing.
//
// Not promised: that anything stays. freecache evicts what it likes, so nothing
// that coherence needs lies in it: what fences say is kept in the guard slots,
// a fixed array that only ever forgets upwards (two keys that share a slot
// share the later of their fences, which costs a fill and nothing else).
//
// Which keys stay is decided where a copy comes in, by two segments and a memory
// of what came by (admission.go); a hit in the main one pays nothing for it. A
// copy of high priority is always let in, one of low priority only while there
// is room.
//
// Short of memory the cache gives some back, and takes it again later
// ([Cache.Yield]). It begins empty each time: what a size held never comes back
// with another.
//
// The cache does not judge expiry, epoch, horizon, or fences of tags, prefixes
// and globs: whoever looks up does, by the entry's header. freecache's own
// expiry is not used: it counts in whole ticks and would end an entry early or
// late.
//
// Package node is the caller.
package memory
