package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/replay"
)

func (a *app) replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay", Short: "Read a log again: onto the screen, into a file, a node, or a node of its own",
		Long: `replay reads what a domain's log, or an archive of it, says from one place to
another. Places are first, last, a position, a time, or how long ago (-15m).
--key, --tag and --prefix let through what concerns these names only: puts, fences
that cover them, brackets, epochs.

Where it goes (--into):
  screen          as tail prints it; with --json an object on each line
  file:PATH       an archive: readable NDJSON with the records in it and a sum in
                  each line, which --archive reads again
  node:NAME       a running node, by its name or an address that it announced. It is
                  offered the values that the log holds and that are alive at its end,
                  each with its own birth; the node judges them as any copy
  scratch[:ADDR]  time travel: a node of its own, as of --to, served to Redis clients
                  on loopback until interrupted; with --get it answers one key and ends

--from-snapshot begins behind a snapshot of the log's: the one that is named, or the
newest of use at a place (newest: at --to). A scratch node then has what the snapshot
holds, loaded values too, and needs the log only from there.

Nothing is ever published to the log. --dry-run reads and counts.`,
		Example: `  tercet replay --from -1h --key product:1:price
  tercet replay --into file:shop.ndjson
  tercet replay --into scratch --to "2026-03-01 12:00" --get product:1:price
  tercet replay --archive shop.ndjson --into scratch:127.0.0.1:6400
  tercet replay --from-snapshot newest --key product:1:price   # what has happened since
  tercet replay --from-snapshot newest --into scratch --to "2026-03-01 12:00"
  tercet replay --into node:node-b --prefix product: --rate 5000`,
		Args: args(cobra.NoArgs),
	}
	r := replayer{app: a}
	f := cmd.Flags()
	f.StringVar(&r.into, "into", "screen", "where it goes: screen, file:PATH, node:NAME or scratch[:ADDR]")
	f.StringVar(&r.archive, "archive", "", "read this archive instead of the domain's log")
	f.StringVar(&r.from, "from", "first", "where to begin")
	f.StringVar(&r.snapshot, "from-snapshot", "", "begin behind a snapshot: its id, newest, or the newest at a position or time")
	f.StringVar(&r.to, "to", "last", "where to end")
	f.IntVar(&r.partition, "partition", -1, "of this partition alone (default: all)")
	f.StringArrayVar(&r.filter.Keys, "key", nil, "what concerns this key; may stand several times")
	f.StringArrayVar(&r.filter.Tags, "tag", nil, "what concerns copies with this tag")
	f.StringArrayVar(&r.filter.Prefixes, "prefix", nil, "what concerns keys under this prefix")
	f.Float64Var(&r.rate, "rate", 0, "at most so many records a second (default: as fast as it goes)")
	f.BoolVar(&r.pulses, "pulses", false, "pulses too; an archive without a filter always has them")
	f.BoolVar(&r.dry, "dry-run", false, "read and count, and take nothing anywhere")
	f.StringVar(&r.get, "get", "", "with scratch: print this key's value as of --to, and end")
	cmd.RunE = a.runUnbounded(nil, func(ctx context.Context, c *config.Config, _ []string) error { return r.run(ctx, c) })
	return cmd
}

// replayer is one call of the command.
type replayer struct {
	app                     *app
	into, archive, from, to string
	partition               int
	filter                  replay.Filter
	rate                    float64
	pulses, dry             bool
	get                     string
	snapshot                string // with which to begin; empty: none
}

// origin is what is replayed: a domain's log, or an archive.
type origin struct {
	domain   string
	settings events.Settings
	sources  []replay.Source
	// made is when it was written; zero: it is the log itself.
	made     time.Time
	filtered bool
	// nc and log are nil for an archive.
	nc  *nats.Conn
	log *jslog.Domain
}

func (r *replayer) run(ctx context.Context, c *config.Config) error {
	kind, where, _ := strings.Cut(r.into, ":")
	switch {
	case kind != "screen" && kind != "file" && kind != "node" && kind != "scratch", kind == "screen" && where != "",
		(kind == "file" || kind == "node") && where == "":
		return usagef("--into %q: want screen, file:PATH, node:NAME or scratch[:ADDR]", r.into)
	case r.get != "" && kind != "scratch":
		return usagef("--get is for --into scratch")
	case r.rate < 0:
		return usagef("--rate %v: want 0 or more", r.rate)
	case kind == "scratch" && !r.filter.Empty():
		return usagef("a scratch node needs all of its log: --into scratch goes without --key, --tag and --prefix")
	case kind == "node" && r.archive != "":
		return usagef("a node takes values only from the log that it follows: --into node goes without --archive")
	case kind == "node" && (r.from != "first" || r.to != "last" || r.snapshot != ""):
		return usagef("what a node may take is what is alive now: --into node goes without --from, --from-snapshot and --to")
	case r.snapshot != "" && (r.from != "first" || r.archive != ""):
		return usagef("--from-snapshot says where in the log to begin: it goes without --from and --archive")
	}
	if err := r.filter.Validate(); err != nil {
		return usagef("%v", err)
	}
	return r.withOrigin(ctx, c, func(o *origin) error {
		if kind == "node" {
			return r.intoNode(ctx, c, o, where)
		}
		ranges, err := r.ranges(ctx, o)
		if err != nil {
			return err
		}
		return r.withSnapshot(ctx, c, o, ranges, func(b *beginning, ranges []replay.Range) error {
			if kind == "scratch" && !r.dry {
				return r.intoScratch(ctx, o, b, ranges, where)
			}
			return r.intoTarget(ctx, o, ranges, kind, where)
		})
	})
}

// withOrigin opens what is to be replayed.
func (r *replayer) withOrigin(ctx context.Context, c *config.Config, f func(*origin) error) error {
	if r.archive != "" {
		file, err := os.Open(r.archive)
		if err != nil {
			return err
		}
		defer file.Close()
		x, err := replay.OpenArchive(file)
		if err != nil {
			return fmt.Errorf("%s: %w", r.archive, err)
		}
		h := x.Head()
		o := &origin{domain: h.Domain, settings: h.Settings, made: h.Made, filtered: h.Filtered}
		for p := range h.Settings.Partitions {
			o.sources = append(o.sources, x.Source(p))
		}
		return f(o)
	}
	if err := c.Need("domain", "nats.url"); err != nil {
		return err
	}
	return r.app.withDomain(ctx, c, func(nc *nats.Conn, d *jslog.Domain) error {
		o := &origin{domain: d.Name(), settings: d.Settings(), nc: nc, log: d}
		for p := range d.Settings().Partitions {
			o.sources = append(o.sources, d.Retained(p))
		}
		return f(o)
	})
}

// ranges are what is to be read of each partition.
func (r *replayer) ranges(ctx context.Context, o *origin) ([]replay.Range, error) {
	from, err := parsePlace("from", r.from)
	if err != nil {
		return nil, err
	}
	to, err := parsePlace("to", r.to)
	if err != nil {
		return nil, err
	}
	parts, err := r.partitions(o.settings.Partitions)
	if err != nil {
		return nil, err
	}
	_, begins := from.Position()
	_, ends := to.Position()
	if (begins || ends) && len(parts) > 1 {
		return nil, usagef("a position is one partition's, and the domain has %d: add --partition, or name a time", len(parts))
	}
	var out []replay.Range
	for _, p := range parts {
		x, err := replay.Resolve(ctx, p, o.sources[p], from, to)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// partitions are those to be read: where only keys are wanted, theirs.
func (r *replayer) partitions(n int) ([]int, error) {
	if r.partition >= n {
		return nil, usagef("--partition %d: the domain has %d, numbered from 0", r.partition, n)
	}
	wanted := map[int]bool{}
	for _, k := range r.filter.Keys {
		wanted[node.Partition(k, n)] = true
	}
	onlyKeys := len(wanted) > 0 && len(r.filter.Tags) == 0 && len(r.filter.Prefixes) == 0
	var out []int
	for p := range n {
		if (r.partition < 0 || p == r.partition) && (!onlyKeys || wanted[p]) {
			out = append(out, p)
		}
	}
	return out, nil
}

func parsePlace(flag, s string) (replay.Place, error) {
	p, err := replay.ParsePlace(s, time.Now())
	if err != nil {
		return p, usagef("--%s: %v", flag, err)
	}
	return p, nil
}

// replayed is what a replay came to.
type replayed struct {
	replay.Counts
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"records_per_second"`
	File      string  `json:"file,omitempty"`
}

func (v replayed) describe(w io.Writer) {
	fmt.Fprintf(w, "%d records read in %.1f s (%.0f/s), %d of them matched, %d bytes\n", v.Read, v.Seconds, v.PerSecond, v.Matched, v.Bytes)
	fmt.Fprintf(w, "  puts %d (%d with their value), invalidations %d (%d soft), brackets %d opened and %d ended, epochs %d, pulses %d\n",
		v.Puts, v.Values, v.Invalidates, v.Soft, v.Intents, v.Ends, v.Epochs, v.Pulses)
	if v.Unreadable > 0 {
		fmt.Fprintf(w, "  %d can't be decoded by this build: nodes take them as fences of everything\n", v.Unreadable)
	}
	if v.File != "" {
		fmt.Fprintf(w, "written to %s\n", v.File)
	}
}

// intoTarget replays onto the screen, into a file, or nowhere.
func (r *replayer) intoTarget(ctx context.Context, o *origin, ranges []replay.Range, kind, path string) error {
	options := replay.Options{Filter: r.filter, Rate: r.rate, Pulses: r.pulses || kind == "file" && r.filter.Empty()}
	all := uint64(0)
	for _, x := range ranges {
		all += x.Len()
	}
	bar := newProgress(r.app.err, "records")
	if r.dry || kind != "screen" {
		options.Progress = func(read uint64) { bar.at(read, all) }
	}
	began := time.Now()
	var counts replay.Counts
	var err error
	switch {
	case r.dry:
		counts, err = replay.Run(ctx, o.sources, ranges, options, nil)
	case kind == "screen":
		_, err = replay.Run(ctx, o.sources, ranges, options, screen{r.app})
		return err
	default:
		counts, err = r.intoFile(ctx, o, ranges, options, path)
	}
	bar.end()
	if err != nil {
		return err
	}
	v := replayed{Counts: counts, Seconds: time.Since(began).Seconds()}
	v.PerSecond = float64(v.Read) / max(v.Seconds, 1e-9)
	if !r.dry {
		v.File = path
	}
	return r.app.print(v, v.describe)
}

// screen prints records as tail does.
type screen struct{ app *app }

func (s screen) Take(_ context.Context, partition int, items []replay.Item) error {
	for _, i := range items {
		v := replay.ViewOf(partition, i.Delivery)
		if s.app.json {
			if err := json.NewEncoder(s.app.out).Encode(v); err != nil {
				return err
			}
			continue
		}
		if err := v.Write(s.app.out); err != nil {
			return err
		}
	}
	return nil
}

// intoFile writes an archive beside its place and puts it there when it is whole.
func (r *replayer) intoFile(ctx context.Context, o *origin, ranges []replay.Range, options replay.Options, path string) (replay.Counts, error) {
	torn := path + ".part"
	file, err := os.OpenFile(torn, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // values are as secret as the log
	if err != nil {
		return replay.Counts{}, err
	}
	defer os.Remove(torn) // gone already where all went well
	defer file.Close()
	a, err := replay.NewArchive(file, replay.Head{
		Domain: o.domain, Settings: o.settings, Made: time.Now(), Filtered: o.filtered || !options.Pulses || !options.Filter.Empty(),
	})
	if err != nil {
		return replay.Counts{}, err
	}
	counts, err := replay.Run(ctx, o.sources, ranges, options, a)
	if err != nil {
		return counts, err
	}
	if err := a.End(); err != nil {
		return counts, err
	}
	if err := file.Sync(); err != nil {
		return counts, err
	}
	return counts, os.Rename(torn, path)
}
