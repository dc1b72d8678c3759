// Package snapshot holds images of a node at one place of each log: what it
// knows (fences, horizon, members, open brackets, row versions) and, unless the
// image is of the fences alone, its copies. A node that has lost its disk, or
// never had one, begins with an image and applies the log's tail, instead of
// the whole log.
//
// An image is two objects in a [Store]: blocks of rows, compressed, checksummed
// one by one and, with a ring of keys, sealed; and a manifest, which is written
// last and says what the image is of. A [Catalogue] writes, lists, reads and
// prunes them.
//
// Guarantees:
//
//   - What [Catalogue.Read] has ended without an error was written whole by
//     [Catalogue.Create], for this domain, and is read in the order of its rows.
//     Whoever uses rows before that must be able to take them back.
//   - An image that is torn, damaged, of another domain, or of a later version
//     is refused with its reason, never guessed at.
//   - A catalogue stays usable whatever dies at whatever instant: an image is
//     there with its manifest or not at all, and [Catalogue.Prune] takes the
//     manifest first. What is left behind it removes later.
//   - Memory is bounded by a block or two, however large the image is.
//
// An image proves nothing by itself: it may be of a history that the log has
// left, or of one that was lost. [Prove] compares it with the log, by digest, and
// what can't be compared is not trusted. A node that begins with an image is in
// the place of one that restarts with a disk of that age: it serves nothing
// before it has applied the log up to its own first pulse, so the tail's fences
// kill what died since.
//
// Not promised: that values of an image are alive; that an image reaches back
// behind what the log retains; order between nodes that write at once.
//
// pkg/client creates images and starts from them; cmd/tercet looks after them.
package snapshot
