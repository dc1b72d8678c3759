// Package coherence is the pure machine that says what the log means for a
// cached copy. One [World] holds what a node has learnt from one partition's
// log: its place in it, the fences that cover more than single keys, the
// horizon, the members and the open brackets.
//
// It has no clock, does no I/O, starts no goroutine, takes no lock and logs
// nothing; what it needs it is given, and what is to be done it returns as
// [Effects]. A failing run is therefore a list of records, and a script under
// testdata replays it.
//
// Guarantees, for a World that has applied position p:
//
//   - [World.Judge] calls a copy alive only if no fence at or below p covers
//     it that is above its birth, given the fence of its key (G1).
//   - Whatever the World has forgotten, it judges as dead: below the horizon
//     nothing is alive.
//   - A record that can't be understood is a fence of everything (P19).
//
// Fences of single keys are not kept here, for there may be millions of them:
// the node keeps them beside the copies and hands the one in question to Judge.
//
// A World is for one goroutine at a time; readers may share it while nobody
// applies. Package coherence imports events and no other package of Tercet.
package coherence
