// Package settle holds keys between the record that killed their copies and the
// request to load them: a change seldom comes alone, and a load that began
// before its last record is dead on arrival.
//
// Guarantees: a key waits once, however often it is added; it is released with
// the highest position it was added with, not before its delay, and not sooner
// than the least interval after its last release; memory is bounded.
//
// Package settle is pure: no clock, no goroutine, no lock; time and jitter are
// arguments. A time before the latest one seen counts as the latest one.
package settle
