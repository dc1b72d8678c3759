//go:build mutants

package mutant

import "os"

// Variable names the environment variable that selects a fault.
const Variable = "TERCET_MUTANT"

var selected = mustFind(os.Getenv(Variable))

// On reports whether f is the fault of this run.
func On(f Fault) bool { return f == selected }

func mustFind(name string) Fault {
	if name == "" {
		return None
	}
	f, ok := Find(name)
	if !ok {
		panic("mutant: no fault is called " + name)
	}
	return f
}
