// Package tiers holds cached bytes: the one encoding of an entry that all
// tiers and the wire share, and the port [Tier] that the adapters memory
// (freecache, in the process), redis (shared) and disk (pebble) implement.
//
// Guarantees:
//
//   - An [Entry] that came out of [Parse] is whole: its checksum holds, its
//     lengths fit, and its key is the key that it was stored under, for it
//     carries the key in full.
//   - A tier never answers with an entry of another key, and after a refused
//     Put it does not answer with an older copy of the key either.
//   - Between two copies of a key from one epoch the one with the newer birth
//     stays, whatever the order of Puts.
//
// Not promised: that what was put is there later. A tier may forget anything
// at any time, and may hold copies that died long ago: whoever reads a tier
// judges the copy by its birth (package coherence). No tier is an authority.
//
// Package tiers imports events, and no other package of Tercet.
package tiers
