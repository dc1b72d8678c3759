package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/replay"
)

func (a *app) tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow a domain's log",
		Long: `tail prints each record of the log as it comes, until it is interrupted. Pulses,
the nodes' signs of life, are left out unless --pulses is given.

With --json each record is one object on a line of its own.`,
		Example: `  tercet tail
  tercet tail --from first --json | jq -r '.changes[].keys[]?'
  tercet tail --from 1200 --partition 0 --count 10`,
		Args: args(cobra.NoArgs),
	}
	from := cmd.Flags().String("from", "now", `where to begin: now, first, or a position`)
	only := cmd.Flags().Int("partition", -1, "follow this partition alone (default: all)")
	pulses := cmd.Flags().Bool("pulses", false, "print pulses, too")
	count := cmd.Flags().Int("count", 0, "end after this many printed records (default: never)")
	cmd.RunE = a.runUnbounded([]string{"domain", "nats.url"}, func(ctx context.Context, c *config.Config, _ []string) error {
		if *count < 0 {
			return usagef("--count %d: want 1 or more", *count)
		}
		return a.withDomain(ctx, c, func(_ *nats.Conn, d *jslog.Domain) error {
			f := follower{app: a, domain: d, from: *from, pulses: *pulses, left: *count, lines: make(chan replay.View)}
			return f.run(ctx, *only)
		})
	})
	return cmd
}

// follower prints the records of some partitions.
type follower struct {
	app    *app
	domain *jslog.Domain
	from   string
	pulses bool
	left   int // records still to print; 0 from the start: without end
	lines  chan replay.View
}

var errEnough = errors.New("enough was printed")

func (f *follower) run(ctx context.Context, only int) error {
	n := f.domain.Settings().Partitions
	if only >= n {
		return usagef("--partition %d: the domain has %d, numbered from 0", only, n)
	}
	g, ctx := errgroup.WithContext(ctx)
	for p := range n {
		if only >= 0 && p != only {
			continue
		}
		start, err := f.start(ctx, p)
		if err != nil {
			return err
		}
		g.Go(func() error { return f.follow(ctx, p, start) })
	}
	g.Go(func() error { return f.print(ctx) })
	if err := g.Wait(); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// follow shows a partition's records, and goes on behind those that are gone.
func (f *follower) follow(ctx context.Context, partition int, start events.Mark) error {
	for {
		err := f.domain.Log(partition).Follow(ctx, start, func(all []events.Delivery) error { return f.show(ctx, partition, all) })
		var gap *events.GapError
		if !errors.As(err, &gap) {
			return err
		}
		fmt.Fprintf(f.app.err, "partition %d: %v\n", partition, gap)
		start = events.Mark{Position: gap.First - 1}
	}
}

// start returns the record behind which to begin.
func (f *follower) start(ctx context.Context, partition int) (events.Mark, error) {
	ctx, cancel := context.WithTimeout(ctx, f.app.timeout)
	defer cancel()
	switch f.from {
	case "now":
		return f.domain.Last(ctx, partition)
	case "first":
		return events.Mark{}, nil
	}
	at, err := strconv.ParseUint(f.from, 10, 63)
	if err != nil || at == 0 {
		return events.Mark{}, usagef("--from %q: want now, first or a position", f.from)
	}
	last, err := f.domain.Last(ctx, partition)
	if err != nil {
		return events.Mark{}, err
	}
	if last.Position < events.Position(at)-1 {
		return events.Mark{}, usagef("--from %d: the log of partition %d ends at %d", at, partition, last.Position)
	}
	return events.Mark{Position: events.Position(at) - 1}, nil
}

func (f *follower) show(ctx context.Context, partition int, all []events.Delivery) error {
	for _, d := range all {
		v := replay.ViewOf(partition, d)
		if v.OnlyPulses() && !f.pulses {
			continue
		}
		select {
		case f.lines <- v:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// print is the one place that writes, so that lines of partitions don't mix.
func (f *follower) print(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case v := <-f.lines:
			if err := f.write(v); err != nil {
				return err
			}
			if f.left--; f.left == 0 {
				return errEnough
			}
		}
	}
}

func (f *follower) write(v replay.View) error {
	if f.app.json {
		return json.NewEncoder(f.app.out).Encode(v)
	}
	return v.Write(f.app.out)
}
