//go:build !mutants

package config

import "os"

// environ is the process's environment.
func environ() []string { return os.Environ() }
