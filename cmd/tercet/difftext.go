package main

import (
	"fmt"
	"io"

	"github.com/raptorflow/tercet/internal/replay"
)

// describe writes what differs, faults marked.
func (v difference) describe(w io.Writer) {
	mark := func(fault bool) string {
		if fault {
			return "!"
		}
		return " "
	}
	for _, p := range v.Partitions {
		fmt.Fprintf(w, "%s partition %d: %s\n    %s: epoch %s, applied %d\n    %s: epoch %s, applied %d\n",
			mark(p.Fault), p.Partition, p.What, v.A, p.EpochA, p.AppliedA, v.B, p.EpochB, p.AppliedB)
	}
	for _, k := range v.Keys {
		fmt.Fprintf(w, "%s %s: %s", mark(k.Fault), replay.Quote(k.Key), k.What)
		if !k.Fault && k.BirthA != 0 && k.BirthB != 0 {
			fmt.Fprintf(w, ", born at %d and %d", k.BirthA, k.BirthB)
		}
		fmt.Fprintln(w)
	}
	if v.Unasked > 0 {
		fmt.Fprintf(w, "%d of %d keys could not be compared: %s\n", v.Unasked, v.Compared, v.Problem)
	}
	switch {
	case v.Faults > 0:
	case len(v.Partitions) == 0 && len(v.Keys) == 0:
		fmt.Fprintf(w, "%s and %s do not differ; %d keys compared\n", v.A, v.B, v.Compared-v.Unasked)
	default:
		fmt.Fprintf(w, "neither would serve what the other holds dead; %d keys compared\n", v.Compared-v.Unasked)
	}
}
