//go:build mutants

package config

import (
	"os"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/mutant"
)

// environ is the process's environment, without the variable that selects a
// deliberate fault, which is no setting.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, mutant.Variable+"=") })
}
