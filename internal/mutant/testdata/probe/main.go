// Command probe holds a switch, and behind it a function to be looked for among
// the program's symbols.
package main

import "github.com/raptorflow/tercet/internal/mutant"

//go:noinline
func fault() { println("faulty") }

func main() {
	if mutant.On(mutant.NoCheckAtInsert) {
		fault()
	}
}
