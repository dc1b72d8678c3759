package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// part measures one thing and reports rows.
type part struct {
	name string
	what string
	run  func(context.Context, *bench) error
}

// parts in the order in which they run.
var parts = []part{
	{"L1", "a hit in memory beside freecache", runL1},
	{"hits", "hit ratios of the memory tier and others on recorded traces (needs -traces)", runHits},
	{"L2", "a hit in Redis beside go-redis", runL2},
	{"L3", "a hit on disk beside pebble", runL3},
	{"gone", "an invalidation until it acted on three nodes, beside delivery to three consumers", runGone},
	{"replay", "a node's catching up beside a consumer's", runReplay},
	{"publish", "writes, alone and 64 at once, beside JetStream publishes", runPublish},
	{"strong", "strong reads beside JetStream publishes", runStrong},
	{"everywhere", "Everywhere writes with three nodes beside JetStream publishes", runEverywhere},
	{"budget", "many times what fits through the disk tier's budget", runBudget},
	{"events", "domain events to fences beside a plain consumer and a bare router", runEvents},
	{"restart", "a cleanly stopped node until it serves, beside the opening of its files", runRestart},
	{"beginning", "a node with nothing until it serves, from a snapshot and the log's tail", runBeginning},
	{"snapshot", "hits in memory while a snapshot is made beside hits while none is", runSnapshot},
	{"broad", "an invalidation of a million copies beside one of a single key", runBroad},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	sizes   []int
	rounds  int
	slice   time.Duration
	records int
	copies  int
	puts    int
	tail    int
	json    string
	traces  string
	profile string
	check   bool
	chosen  []part
}

// errMissed is how -check fails.
var errMissed = errors.New("a target was missed")

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	run := f.String("run", "", "the parts to run, separated by commas; default all")
	sizes := f.String("sizes", "10000,1000000", "numbers of keys, separated by commas")
	quick := f.Bool("quick", false, "fewer rounds and at most 100,000 keys: for a look, not for a verdict")
	f.IntVar(&c.rounds, "rounds", 75, "rounds of each row")
	f.DurationVar(&c.slice, "slice", 20*time.Millisecond, "how long a side works before it is the other's turn")
	f.IntVar(&c.records, "records", 250_000, "records to replay")
	f.IntVar(&c.copies, "copies", 1_000_000, "copies that part broad invalidates at once")
	f.IntVar(&c.puts, "puts", 2_000_000, "values that part budget puts")
	f.IntVar(&c.tail, "tail", 100_000, "records behind the snapshot of part beginning")
	f.StringVar(&c.json, "json", "", "write the result to this file")
	f.StringVar(&c.traces, "traces", "", "directory of recorded traces, for part hits")
	f.StringVar(&c.profile, "cpuprofile", "", "write a CPU profile to this file")
	f.BoolVar(&c.check, "check", false, "exit with 1 if a target is missed")
	f.Usage = func() {
		fmt.Fprintln(stderr, "Usage: bench [flags]\n\nMeasures each raw part beside Tercet's path, in turns, in one process. Parts:")
		for _, p := range parts {
			fmt.Fprintf(stderr, "  %-9s %s\n", p.name, p.what)
		}
		fmt.Fprintln(stderr, "\nFlags:")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 100 {
			return c, fmt.Errorf("-sizes %q: want numbers of keys of at least 100", *sizes)
		}
		c.sizes = append(c.sizes, n)
	}
	if c.rounds < 1 || c.slice <= 0 || c.records < 1000 || c.copies < 100 || c.puts < 100 || c.tail < 100 {
		return c, errors.New("-rounds, -slice, -records, -copies, -puts or -tail is too small")
	}
	if *quick {
		c.rounds, c.records = min(c.rounds, 15), min(c.records, 50_000)
		c.copies, c.puts = min(c.copies, 100_000), min(c.puts, 500_000)
		for i := range c.sizes {
			c.sizes[i] = min(c.sizes[i], 100_000)
		}
	}
	return c, c.choose(*run)
}

func (c *config) choose(names string) error {
	if names == "" {
		c.chosen = parts
		return nil
	}
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, p := range parts {
			if strings.EqualFold(p.name, strings.TrimSpace(name)) {
				c.chosen, found = append(c.chosen, p), true
			}
		}
		if !found {
			return fmt.Errorf("-run: there is no part %q", name)
		}
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if c.profile != "" {
		f, err := os.Create(c.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	b := &bench{config: c, progress: stderr, out: result{Facts: gatherFacts()}}
	defer b.close()
	b.out.Facts.print(stdout)
	for _, p := range c.chosen {
		if err := b.part(ctx, p); err != nil {
			return fmt.Errorf("part %s: %w", p.name, err)
		}
		debug.FreeOSMemory() // the next part shall not pay for this one
	}
	fmt.Fprintln(stdout)
	b.out.print(stdout)
	if c.json != "" {
		if err := b.out.writeJSON(c.json); err != nil {
			return err
		}
	}
	if n := b.out.missed(); n > 0 {
		fmt.Fprintf(stdout, "\n%d of %d rows miss their target\n", n, len(b.out.Rows))
		if c.check {
			return errMissed
		}
	}
	return nil
}
