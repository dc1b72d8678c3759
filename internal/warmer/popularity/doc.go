// Package popularity ranks keys by how often they were read lately, in bounded
// memory.
//
// It is a Space-Saving table (Metwally, Agrawal, El Abbadi 2005) over counts
// that decay exponentially: an access that is one half-life old weighs half.
// Decay is applied forward (Cormode et al. 2009): a newer access weighs more,
// and no old weight is ever touched, so the order of keys never changes while
// nothing is observed.
//
// Guarantees, for a table of capacity k that has observed the decayed total
// weight W:
//
//   - Estimates never fall below the truth and exceed it by at most W/k.
//   - Every key whose weight exceeds W/k is in the table.
//   - Memory is bounded by k keys.
//
// Package popularity is pure: no clock, no goroutine, no lock. Time is an
// argument; a time before the latest one seen counts as the latest one.
package popularity
