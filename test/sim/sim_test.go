package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
)

var (
	seeds = flag.Int("seeds", usual(), "how many seeds to run; under the race detector fewer unless told")
	first = flag.Uint64("first", 1, "the first seed")
	seed  = flag.Uint64("seed", 0, "run this seed alone, and print its trace with -v")
	stop  = flag.Bool("stop", false, "stop at the first violation, as -failfast does")
	procs = flag.Int("procs", 1, "GOMAXPROCS: with one a seed reproduces most runs")
)

// usual is how many seeds tell whether every fault and judge comes up. What the
// race detector is after shows in the first few, and with it each takes ten times
// as long; make test runs both.
func usual() int {
	if clocktest.RaceEnabled {
		return 200
	}
	return 1000
}

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(*procs)
	os.Exit(m.Run())
}

// run runs one seed in a bubble of its own.
func run(t *testing.T, seed uint64) (r *Result) {
	t.Helper()
	// In a bubble a goroutine that waits for a mutex holds up time for ever;
	// and so does one that spins.
	watch := time.AfterFunc(30*time.Second, func() {
		stacks := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "seed %d does not end\n%s\n", seed, stacks[:runtime.Stack(stacks, true)])
		os.Exit(2)
	})
	defer watch.Stop()
	clocktest.Bubble(t, func(*testing.T) { r = Run(seed) })
	return r
}

// failFast reports whether go test was told to stop at the first failure.
func failFast() bool {
	f := flag.Lookup("test.failfast")
	return *stop || f != nil && f.Value.String() == "true"
}

// TestSeedsThatFoundSomething runs seeds that have violated once, beyond those
// of TestSeeds: a tail that nobody could compare (66341, 14933, 69853), an epoch
// whose record was lost with what it had settled (24067, 28442, 28516), a member's
// objection that took another's place (490), and an auditor that judged copies by records
// of another history (the others).
func TestSeedsThatFoundSomething(t *testing.T) {
	for _, s := range []uint64{66341, 14933, 69853, 24067, 28442, 28516, 300133, 303857, 490, 1966, 2330, 2502, 2665, 9242, 10392, 10676, 13699, 50956, 51327, 51738, 52763} {
		if r := run(t, s); len(r.Violations) > 0 {
			t.Errorf("seed %d violates: %v\n%s", s, r.Violations, r.Trace)
		}
	}
}

// TestSeeds runs a fixed set of seeds: no guarantee is violated, and every
// fault and every judge comes up.
func TestSeeds(t *testing.T) {
	from, n := *first, *seeds
	if *seed != 0 {
		from, n = *seed, 1
	}
	total := NewCounts()
	began := time.Now()
	bad, done := 0, 0
	for s := from; s < from+uint64(n); s++ {
		r := run(t, s)
		total.Add(r.Counts)
		if done++; done%16 == 0 {
			// A node's pools keep it alive for two collections. Left to itself
			// the collector would find more alive each time, and come later.
			runtime.GC()
		}
		if done%5000 == 0 {
			t.Logf("%d seeds, up to %d, %d violate", done, s, bad)
		}
		if len(r.Violations) > 0 {
			bad++
			t.Errorf("seed %d violates:", s)
			for _, v := range r.Violations {
				t.Errorf("  %s", v)
			}
			if bad == 1 || *seed != 0 {
				t.Logf("trace of seed %d; to rerun: go test ./test/sim -run TestSeeds -seed %d -v\n%s", s, s, r.Trace)
			}
			if failFast() || bad >= 20 {
				break
			}
		} else if *seed != 0 && testing.Verbose() {
			t.Logf("trace\n%s", r.Trace)
		}
	}
	took := time.Since(began)
	n = done
	t.Logf("%d seeds in %v, %.0f seeds/s, %d violate\n%s", n, took.Round(time.Millisecond), float64(n)/took.Seconds(), bad, total)
	if n >= 1000 && bad == 0 {
		for _, m := range total.Missing() {
			t.Errorf("%q never came up in %d seeds", m, n)
		}
	}
}
