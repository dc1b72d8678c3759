package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/raptorflow/tercet/internal/mutant"
)

// table prints rows as they come, in columns as wide as the faults need.
type table struct {
	out          io.Writer
	name, clause int
}

func newTable(out io.Writer, faults []mutant.Info) *table {
	t := &table{out: out}
	for _, f := range faults {
		t.name, t.clause = max(t.name, len(f.Name)), max(t.clause, len(f.Clause))
	}
	return t
}

func (t *table) line(name, clause string, rest ...string) {
	fmt.Fprintf(t.out, "%-*s  %-*s  %s\n", t.name, name, t.clause, clause, strings.Join(rest, "  "))
}
