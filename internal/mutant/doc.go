// Package mutant holds deliberate faults of the protocol, so that the checkers
// can be checked: for every remedy that the protocol rests on there is a fault
// that takes it away, and a test that fails then.
//
// In a build with the tag mutants, the environment variable TERCET_MUTANT
// names the one fault that is switched on. In every other build [On] is the
// constant false: the compiler drops the faulty lines, and what ships holds no
// trace of this package, which a test proves.
//
// A switch is one line where the remedy stands:
//
//	if e.Birth() < g.at && !mutant.On(mutant.NoCheckAtInsert) {
//
// Any package may import this one, the pure ones too: without the tag it means
// nothing, and with it the fault is chosen once, before the first test. The
// runner is test/mutants; `make mutants` starts it.
package mutant
