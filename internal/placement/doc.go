// Package placement says which members of a domain own a slot, by weighted
// rendezvous hashing: every member draws a score for the slot, and the highest
// own it. Nobody has to agree on anything but who is there; one that joins or
// leaves moves the slots that it gains or owned, and no others.
//
// It is pure, and yields the same for the same members in any order. Two nodes
// that see different members for a moment may name different owners: nothing
// that a guarantee rests on may follow from who owns a slot.
package placement
