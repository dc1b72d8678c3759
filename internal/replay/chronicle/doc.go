// Package chronicle tells the history of one key as a log has it: what was put,
// what fenced it and why, brackets, epochs; and judges copies by it, as a node
// that had applied the same records does.
//
// It is told records, in order, and does nothing else: no clock, no I/O.
//
// Not known: tags of copies that were loaded from an origin, unless somebody says
// them; and fences from before the first record that it was told.
package chronicle
