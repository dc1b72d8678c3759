// Command mutants checks the checkers: it switches off one remedy of the
// protocol after the other (see internal/mutant) and runs the tests that should
// notice, those of the packages where the remedy stands first. It prints which
// test killed which fault, and ends with status 1 if one survived.
//
// A test counts as a killer only if it fails again with the fault, and passes
// without.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"

	"github.com/raptorflow/tercet/internal/mutant"
)

const module = "github.com/raptorflow/tercet"

// suites are the packages whose tests judge, cheapest first. Simulation and
// real servers come last: what is left for them has no directed test.
const suites = "internal/coherence,internal/consistency,internal/turn,internal/clock,internal/events,internal/events/groupcommit," +
	"internal/events/memlog,internal/tiers,internal/tiers/memory,internal/tiers/seal,internal/tiers/pack,internal/tiers/disk,internal/snapshot,internal/node,internal/peers," +
	"internal/outbox,internal/invalidator,internal/invalidator/rules,internal/invalidator/intake,internal/tiers/redis,internal/events/jslog,internal/replay,internal/replay/offer,internal/backup,test/exhaustive,test/sim,pkg/client,pkg/sqlbracket,pkg/sqloutbox"

func main() {
	run := flag.String("run", ".", "only faults whose name matches this regular expression")
	packages := flag.String("packages", suites, "packages whose tests judge, in this order")
	jobs := flag.Int("jobs", max(1, runtime.NumCPU()/2), "how many faults are tried at once")
	seeds := flag.Int("seeds", 200, "how many seeds the simulation tries")
	list := flag.Bool("list", false, "print the faults and end")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := check(ctx, *run, strings.Split(*packages, ","), *jobs, *seeds, *list); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func check(ctx context.Context, pattern string, packages []string, jobs, seeds int, list bool) error {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	var faults []mutant.Info
	for _, f := range mutant.All() {
		if wanted.MatchString(f.Name) {
			faults = append(faults, f)
		}
	}
	places, err := findSwitches("internal", "pkg")
	if err != nil {
		return err
	}
	for _, f := range faults {
		if len(places[f.Name]) == 0 {
			return fmt.Errorf("%s has no switch in the tree", f.Name)
		}
	}
	out := newTable(os.Stdout, faults)
	if list {
		for _, f := range faults {
			out.line(f.Name, f.Clause, strings.Join(places[f.Name], " "), f.What)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := build(ctx, dir, packages, seeds)
	if err != nil {
		return err
	}
	if err := s.baseline(ctx, os.Stdout); err != nil {
		return err
	}
	survivors := s.try(ctx, faults, places, jobs, out)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(survivors) > 0 {
		return fmt.Errorf("%d of %d faults survived: %s", len(survivors), len(faults), strings.Join(survivors, ", "))
	}
	fmt.Fprintf(os.Stdout, "all %d faults were caught\n", len(faults))
	return nil
}
