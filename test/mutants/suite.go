package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/mutant"
)

// simulation is the package whose tests are as long as they are told to be.
const simulation = "test/sim"

// suite is one package's compiled tests.
type suite struct {
	dir    string // of the package, from the module's root
	binary string
	deps   map[string]bool // import paths of all that is linked into it
	seeds  int             // for the simulation
	took   time.Duration   // without a fault; 0: not known yet
}

type set struct{ suites []*suite }

// build compiles each package's tests once, with all faults in them.
func build(ctx context.Context, dir string, packages []string, seeds int) (*set, error) {
	s := &set{}
	for _, p := range packages {
		if _, err := os.Stat(p); errors.Is(err, os.ErrNotExist) {
			continue // not in the tree yet, or gone
		}
		binary := filepath.Join(dir, strings.ReplaceAll(p, "/", "_")+".test")
		c := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "mutants", "-o", binary, "./"+p)
		if text, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build tests of %s: %w\n%s", p, err, text)
		}
		if _, err := os.Stat(binary); err == nil { // none: no tests
			deps, err := dependencies(ctx, p)
			if err != nil {
				return nil, err
			}
			s.suites = append(s.suites, &suite{dir: p, binary: binary, deps: deps, seeds: seeds})
		}
	}
	return s, nil
}

// dependencies returns what the tests of a package are linked from.
func dependencies(ctx context.Context, dir string) (map[string]bool, error) {
	text, err := exec.CommandContext(ctx, "go", "list", "-deps", "-test", "-tags", "mutants", "./"+dir).Output()
	if err != nil {
		return nil, fmt.Errorf("list what tests of %s are made of: %w", dir, err)
	}
	deps := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		path, _, _ := strings.Cut(strings.TrimSpace(line), " ") // "a [b.test]" is a, built for b's tests
		deps[path] = true
	}
	return deps, nil
}

// feels reports whether a fault in one of the packages can matter here.
func (s *suite) feels(places []string) bool {
	return slices.ContainsFunc(places, func(dir string) bool { return s.deps[module+"/"+dir] })
}

// most is how long the tests may take: one that hangs because of a fault has
// caught it.
func (s *suite) most() time.Duration {
	if s.took == 0 {
		return 5 * time.Minute
	}
	return 20*time.Second + 2*s.took
}

// run runs the tests that match pattern with one fault switched on, up to the
// first that fails, whose name it returns; "" if all pass.
func (s *suite) run(ctx context.Context, f mutant.Fault, pattern string) (killer string, text []byte) {
	args := []string{"-test.failfast", "-test.v", "-test.timeout", s.most().String(), "-test.run", pattern}
	if s.deps["pgregory.net/rapid"] {
		args = append(args, "-rapid.nofailfile", "-rapid.shrinktime=0s") // a caught fault is no case to keep
	}
	if s.dir == simulation {
		args = append(args, "-stop", "-seeds="+strconv.Itoa(s.seeds))
	}
	c := exec.CommandContext(ctx, s.binary, args...)
	c.Dir = s.dir
	c.Env = os.Environ()
	if f != mutant.None {
		c.Env = append(c.Env, "TERCET_MUTANT="+f.String())
	}
	text, err := c.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return "", text
	}
	return firstFailed(text), text
}

var (
	failed  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	started = regexp.MustCompile(`(?m)^=== RUN\s+(\S+)`)
)

// firstFailed finds the test that failed; where the process died, the last one
// that had begun.
func firstFailed(text []byte) string {
	all := failed.FindAllSubmatch(text, -1)
	if len(all) == 0 {
		all = started.FindAllSubmatch(text, -1)
		slices.Reverse(all)
	}
	if len(all) == 0 {
		return "TestMain"
	}
	// The deepest name of the first test says most.
	name := string(all[0][1])
	for _, m := range all {
		if n := string(m[1]); strings.HasPrefix(n, name) {
			name = n
		}
	}
	return name
}

// baseline runs everything without a fault: a test that fails anyway proves
// nothing. One that fails now and then is named, and proves nothing either.
func (s *set) baseline(ctx context.Context, out io.Writer) error {
	for _, x := range s.suites {
		began := time.Now()
		killer, text := x.run(ctx, mutant.None, ".")
		if killer != "" {
			fmt.Fprintf(out, "%-32s fails without a fault: %s\n", x.dir, killer)
			killer, text = x.run(ctx, mutant.None, ".")
		}
		x.took = time.Since(began)
		if killer != "" {
			return fmt.Errorf("%s fails without a fault: %s\n%s", x.dir, killer, tail(text))
		}
		fmt.Fprintf(out, "%-32s passes without a fault in %v\n", x.dir, x.took.Round(10*time.Millisecond))
	}
	return ctx.Err()
}

func tail(text []byte) []byte {
	const most = 4000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return bytes.TrimSpace(text)
}

// try tries each fault, several at once, and returns the names of those that
// survived.
func (s *set) try(ctx context.Context, faults []mutant.Info, places map[string][]string, jobs int, out *table) (survivors []string) {
	var mu sync.Mutex
	var work sync.WaitGroup
	next := make(chan mutant.Info)
	for range jobs {
		work.Go(func() {
			for f := range next {
				began := time.Now()
				by := s.kill(ctx, f, places[f.Name])
				took := time.Since(began).Round(10 * time.Millisecond).String()
				mu.Lock()
				if by == "" && ctx.Err() == nil {
					survivors = append(survivors, f.Name)
					by = "SURVIVED"
				}
				out.line(f.Name, f.Clause, by, took)
				mu.Unlock()
			}
		})
	}
	for _, f := range faults {
		if ctx.Err() != nil {
			break
		}
		next <- f
	}
	close(next)
	work.Wait()
	slices.Sort(survivors)
	return survivors
}

// kill returns the test that catches f, "" if none does.
func (s *set) kill(ctx context.Context, f mutant.Info, near []string) string {
	order := slices.Clone(s.suites)
	slices.SortStableFunc(order, func(a, b *suite) int { return distance(a.dir, near) - distance(b.dir, near) })
	for _, x := range order {
		if !x.feels(near) {
			continue
		}
		if killer := x.kill(ctx, f.Fault); killer != "" {
			return strings.TrimPrefix(x.dir, "internal/") + " " + killer
		}
	}
	return ""
}

// kill returns the test of this package that catches f, "" if none does.
func (s *suite) kill(ctx context.Context, f mutant.Fault) string {
	const tries = 3 // a test that fails now and then may have hidden the one that catches it
	for range tries {
		killer, _ := s.run(ctx, f, ".")
		if killer == "" {
			return ""
		}
		top, _, _ := strings.Cut(killer, "/")
		alone := "^" + regexp.QuoteMeta(top) + "$"
		again, _ := s.run(ctx, f, alone)
		without, _ := s.run(ctx, mutant.None, alone)
		if again != "" && without == "" {
			return killer
		}
	}
	return ""
}

// distance is 0 for packages that hold the switch.
func distance(dir string, near []string) int {
	if slices.Contains(near, dir) {
		return 0
	}
	return 1
}
