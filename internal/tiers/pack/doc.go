// Package pack makes entries smaller, and secret, for the tiers outside of the
// process's memory: it compresses payloads where that pays and seals them where
// there are keys (package seal). Memory holds what came out again, which is
// quickest to return.
//
// What is done follows from the bytes themselves:
//
//   - less than 1 KiB, or in a format that is compressed already: nothing
//   - JSON: lz4, and zstd with the dictionary, if there is one, up to 16 KiB
//   - other text: zstd at its fastest
//   - anything else: nothing
//
// and is kept only if it saves a tenth. A packed entry says so by
// [tiers.FlagPacked]; its header stays readable, for the tiers compare births
// and keys. Its payload is
//
//	1 byte     method; the highest bit: sealed
//	then, sealed for the entry's place if it says so
//	uvarint    size of the payload once unpacked
//	rest       what the method made of it
//
// Guarantees:
//
//   - [Packer.Open] of what [Packer.Pack] made yields the same entry.
//   - No more memory is taken than the limit, whatever the bytes claim.
//   - With keys, only what was sealed under one of them, for this key, birth,
//     epoch, tags, times and domain, opens. Plain entries don't.
//
// What does not open is an error to its caller, who counts it as a miss.
package pack
