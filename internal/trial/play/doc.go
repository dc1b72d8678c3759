// Package play plays a workload on a fleet, tells what happens, and has every
// answer judged by the origin, which is the trial's own.
//
// It knows no technology: a [Fleet] is handed to it. What is promised of a run
// is in package trial's documentation.
//
// A player sends reads to each member's readers and makes changes one after the
// other from one goroutine. At narrated moments everybody else rests, so that
// what is told is what happened.
package play
