// Package seal keeps values secret and whole where others could read or change
// them: in Redis, on disks, on the way between nodes. It is XChaCha20-Poly1305
// (draft-irtf-cfrg-xchacha-03) under the keys of a [Ring].
//
// Guarantees:
//
//   - What opens was sealed under one of the ring's keys, for the same place: a
//     value that was changed, or moved elsewhere, does not open.
//   - Nonces are drawn at random from 192 bits, so that any number of processes
//     may seal under one key without agreeing on anything.
//   - A ring shows its keys' ids when it is printed, and never the keys.
//
// Not promised: that an old value is not put back in its own place (its birth
// says that it is old, and whoever reads it judges that); anything about the
// length of values, or about keys, tags and times, which stay readable.
package seal
