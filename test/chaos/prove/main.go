// Command prove tries the harness: it builds nodes with a deliberate fault of the
// protocol (package internal/mutant), plays a scenario on them, and wants the
// judges to find it. It plays each scenario on honest nodes first.
//
//	go run ./test/chaos/prove [-run no-lease] [-seed 1]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/report"
	"github.com/raptorflow/tercet/test/chaos/run"
	"github.com/raptorflow/tercet/test/chaos/scenario"
)

func main() {
	only := flag.String("run", "", "try this fault alone")
	seed := flag.Uint64("seed", 1, "seed of the scenarios")
	dir := flag.String("dir", "", "where runs leave their reports; default a temporary directory that is removed if all goes well")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := prove(ctx, os.Stdout, *only, *seed, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(1)
	}
}

func prove(ctx context.Context, out io.Writer, only string, seed uint64, dir string) error {
	if dir == "" {
		temporary, err := os.MkdirTemp("", "tercet-prove-")
		if err != nil {
			return err
		}
		dir = temporary
	}
	bin := filepath.Join(dir, "bin")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "mutants", "-o", bin+"/", "./cmd/node", "./cmd/invalidator", "./cmd/warmer")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, said)
	}
	p := prover{out: out, bin: bin, dir: dir, seed: seed, honest: map[string]bool{}}
	tried := 0
	for _, x := range faults {
		if only != "" && only != x.name {
			continue
		}
		tried++
		if err := p.try(ctx, x); err != nil {
			return fmt.Errorf("%w; reports are in %s", err, dir)
		}
	}
	if tried == 0 {
		return fmt.Errorf("no fault %q is tried here", only)
	}
	if p.missed > 0 {
		return fmt.Errorf("%d of %d faults were not found; reports are in %s", p.missed, tried, dir)
	}
	fmt.Fprintf(out, "%d faults of the protocol, all found\n", tried)
	return os.RemoveAll(dir)
}

type prover struct {
	out    io.Writer
	bin    string
	dir    string
	seed   uint64
	honest map[string]bool // scenarios that honest nodes have passed
	missed int
}

// try plays a fault's scenario without the fault, which has to pass, and with
// it.
func (p *prover) try(ctx context.Context, x faulty) error {
	s, err := scenario.Parse(x.name+".yaml", []byte(x.scenario))
	if err != nil {
		return err
	}
	if !p.honest[x.scenario] {
		against, err := p.play(ctx, s, "honest-"+x.name)
		if err != nil {
			return err
		}
		if len(against) > 0 {
			return fmt.Errorf("%s: honest nodes are found guilty by %s", x.name, strings.Join(against, ", "))
		}
		p.honest[x.scenario] = true
	}
	against, err := p.play(ctx, s, x.name, "TERCET_MUTANT="+x.name)
	if err != nil {
		return err
	}
	found := "NOT FOUND"
	if slices.ContainsFunc(against, func(name string) bool { return slices.Contains(x.by, name) }) {
		found = "found"
	} else {
		p.missed++
	}
	fmt.Fprintf(p.out, "%-26s %-10s guilty by %-24s wanted one of %s\n", x.name, found, strings.Join(against, ", "), strings.Join(x.by, ", "))
	return nil
}

// play returns the judges that found a violation of a guarantee.
func (p *prover) play(ctx context.Context, s *scenario.Scenario, name string, env ...string) ([]string, error) {
	dir := filepath.Join(p.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	o, err := run.Play(ctx, run.Config{Scenario: s, Seed: p.seed, Dir: filepath.Join(dir, "run"), Bin: p.bin, Env: env, Rerun: "go run ./test/chaos/prove -run " + name})
	if err != nil {
		return nil, err
	}
	if err := report.Write(dir, o); err != nil {
		return nil, err
	}
	for _, f := range o.Case.Faults {
		if f.Missing != "" {
			return nil, fmt.Errorf("%s: %s of %s was not injected: %s", name, f.Kind, f.Target, f.Missing)
		}
	}
	return guilty(o.Verdicts), nil
}

// guilty leaves out what is about service rather than truth: a fleet with a fault
// may well be slow, and that is not how it should be found.
func guilty(all []judge.Verdict) []string {
	var names []string
	for _, v := range all {
		switch v.Name {
		case "unavailable", "recovery", "leaks":
		default:
			if v.Violations > 0 {
				names = append(names, v.Name)
			}
		}
	}
	return names
}
