// Package disk is the third tier, L3: key fences, copies and the node's
// checkpoint in pebble on the node's own disk, so that one local lookup yields
// what is known of a key.
//
// Guarantees:
//
//   - What one [Batch] holds (fences, values, the applied position) is there
//     as a whole or not at all, after a crash as well; and if a batch is
//     there, every earlier one is. The latest batches may be missing after a
//     power loss, back to the last [Store.Sync]: the caller replays them from
//     the log.
//   - A fill and a batch exclude each other (row 30 of the protocol's review):
//     one goroutine writes.
//   - A fence that was committed is either read or reported as unreadable. A
//     value is whole, and of its key, or is not returned.
//   - A store with a budget takes no more on disk than that, as long as fences
//     do not need more; values are evicted, or not stored. Their fences are
//     kept, or forgotten upwards.
//   - Nothing that befalls the disk ends the process. pebble's own answer to a
//     full disk or a broken file is to exit; here the store is dead instead:
//     [Store.Dead] is closed, every call returns [tiers.ErrUnavailable], and
//     the next [Open] starts afresh.
//
// Not promised: that a directory's content survives: what can't be opened, or
// died, is set aside. A read that the operating system does not answer holds
// up its caller. A panic of pebble's on a goroutine of its own, for another
// reason than an error of the disk's, ends the process: nobody can catch it.
//
// Package node is the caller.
package disk
