// Package pacing decides when one more may go: [Bucket] bounds how many per
// second, [Budget] how many at a time, and learns from failures to ask less.
// Warming passes both, so that it never floods an origin.
//
// Package pacing is pure: no clock, no goroutine, no lock. Time is an
// argument; a time before the latest one seen counts as the latest one. Values
// are for one goroutine at a time.
package pacing
