// Package lint holds the rules of this tree that no compiler knows, as tests:
// which package may import which, and why; what pure packages may not touch;
// how large a file may grow; what a test may not do.
//
// Every rule is a function from a parsed file to complaints, is run over the
// whole tree, and is fed a bad snippet that it must refuse. A rule that stands
// in the way is changed here, with its reason, and not gone around.
//
// The package exports nothing; `go test ./internal/lint` is its use.
package lint
