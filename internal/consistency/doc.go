// Package consistency is the pure half of what a reader may see: the levels
// that a read can ask for, the tokens that carry a session from process to
// process, and [Decide], which says from a few facts whether a node may serve
// now, has to wait, or must refuse.
//
// It has no clock, no I/O, no goroutine, no lock and no logger. It imports
// events and no other package of Tercet.
package consistency
