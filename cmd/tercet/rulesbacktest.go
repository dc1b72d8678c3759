package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator/backtest"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/internal/replay"
)

func (a *app) rulesBacktest() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backtest FILE...", Short: "Try rules on recorded events and compare them with the running ones",
		Long: `backtest asks rule files what they would have made of events that happened: those
that the stream still keeps, or those in a file. It tells how many names of which
kind each rule fences, its busiest minute, whether its limit would have held, and
event by event how that differs from the configured rules (--rules), if there are
any. It reads only; the invalidator's own place in the stream stays where it is.`,
		Example: `  tercet rules backtest new.yaml --rules rules.yaml --since 24h
  tercet rules backtest new.yaml --events events.jsonl --json`,
		Args: args(cobra.MinimumNArgs(1)),
	}
	f := cmd.Flags()
	file := f.String("events", "", "read events from this file instead of the stream; - is standard input")
	since := f.Duration("since", 0, "begin with the stream's events of this age (default: with the first that it keeps)")
	most := f.Int("count", 0, "end after this many messages (default: with the last one that is there now)")
	cmd.RunE = a.runUnbounded(nil, func(ctx context.Context, c *config.Config, files []string) error {
		if *since < 0 || *most < 0 {
			return usagef("--since and --count: want 0 or more")
		}
		candidate, err := readRules(files, c.Domain)
		if err != nil {
			return err
		}
		var running *rules.Set
		if len(c.Rules) > 0 {
			if running, err = readRules(c.Rules, c.Domain); err != nil {
				return fmt.Errorf("the configured rules: %w", err)
			}
		}
		t := tester{app: a, run: backtest.New(candidate, running), decode: link.DecodeOptions(c.Invalidator), most: *most, shown: time.Now()}
		if *file != "" {
			err = t.file(ctx, *file)
		} else if err = c.Need("nats.url"); err == nil {
			err = t.stream(ctx, c, *since)
		}
		if err != nil {
			return err
		}
		r := t.run.Report()
		return a.print(r, func(w io.Writer) { describeReport(w, r) })
	})
	return cmd
}

// tester feeds a run.
type tester struct {
	app    *app
	run    *backtest.Run
	decode domainevent.Options
	most   int // messages; 0: all

	read  int
	shown time.Time
}

// add returns false once enough was read.
func (t *tester) add(m domainevent.Message, at time.Time, of uint64) bool {
	t.run.Add(m, at, t.decode)
	t.read++
	if time.Since(t.shown) >= time.Second {
		t.shown = time.Now()
		if of > 0 {
			fmt.Fprintf(t.app.err, "%d of %d messages\n", t.read, of)
		} else {
			fmt.Fprintf(t.app.err, "%d messages\n", t.read)
		}
	}
	return t.most == 0 || t.read < t.most
}

func (t *tester) file(ctx context.Context, name string) error {
	file, err := t.app.openEvents(name)
	if err != nil {
		return err
	}
	defer file.close()
	for ctx.Err() == nil {
		body, err := file.next()
		id := fmt.Sprintf("%s %d", file.unit, file.at)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errEventTooLong):
			t.run.Skip(id, err)
		case err != nil:
			return fmt.Errorf("%s: %w", id, err)
		default:
			if !t.add(domainevent.Message{ID: id, Channel: name, Body: body}, time.Time{}, 0) {
				return nil
			}
		}
	}
	return ctx.Err()
}

// stream reads what the stream holds now.
func (t *tester) stream(ctx context.Context, c *config.Config, since time.Duration) error {
	nc, err := link.Dial(c.NATS, "tercet backtest")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	opening, cancel := context.WithTimeout(ctx, t.app.timeout)
	defer cancel()
	s, err := js.Stream(opening, c.Invalidator.Stream)
	if err != nil {
		return fmt.Errorf("open stream %q: %w", c.Invalidator.Stream, err)
	}
	o := jetstream.OrderedConsumerConfig{FilterSubjects: []string{c.Invalidator.Subject}, DeliverPolicy: jetstream.DeliverAllPolicy}
	if since > 0 {
		from := time.Now().Add(-since)
		o.DeliverPolicy, o.OptStartTime = jetstream.DeliverByStartTimePolicy, &from
	}
	consumer, err := s.OrderedConsumer(opening, o)
	if err != nil {
		return fmt.Errorf("read stream %q: %w", c.Invalidator.Stream, err)
	}
	pending := consumer.CachedInfo().NumPending
	if pending == 0 {
		return nil
	}
	it, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read stream %q: %w", c.Invalidator.Stream, err)
	}
	defer it.Stop()
	for n := uint64(1); n <= pending; n++ {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("message %d of %d: %w", n, pending, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("message %d of %d: %w", n, pending, err)
		}
		headers := make(map[string]string, len(msg.Headers()))
		for name, values := range nats.Header(msg.Headers()) {
			if len(values) > 0 {
				headers[name] = values[0]
			}
		}
		m := domainevent.Message{ID: fmt.Sprintf("%s/%d", meta.Stream, meta.Sequence.Stream), Channel: msg.Subject(), Headers: headers, Body: msg.Data()}
		if !t.add(m, meta.Timestamp, pending) || meta.NumPending == 0 {
			return nil
		}
	}
	return nil
}

func describeReport(w io.Writer, r backtest.Report) {
	fmt.Fprintf(w, "%d messages, %d events", r.Messages, r.Events)
	if !r.From.IsZero() {
		fmt.Fprintf(w, ", from %s to %s", r.From.Local().Format(time.DateTime), r.To.Local().Format(time.DateTime))
	}
	fmt.Fprintln(w)
	if r.Unreadable > 0 {
		fmt.Fprintf(w, "%d messages hold what can't be read, such as\n", r.Unreadable)
		for _, p := range r.Problems {
			fmt.Fprintln(w, " ", p)
		}
	}
	describeOutcome(w, "these rules", r.Candidate)
	if r.Running != nil {
		describeOutcome(w, "the running rules", *r.Running)
	}
	if d := r.Differences; d != nil {
		fmt.Fprintf(w, "\nevent by event: %d alike, %d fence something else, %d fence nothing any more, %d fence something only now\n", d.Same, d.Changed, d.Gone, d.New)
		for _, x := range d.Examples {
			fmt.Fprintf(w, "  %s: %s %s\n", x.Kind, x.Type, replay.Quote(x.Event))
			for _, n := range x.Less {
				fmt.Fprintln(w, "    -", replay.Quote(n))
			}
			for _, n := range x.More {
				fmt.Fprintln(w, "    +", replay.Quote(n))
			}
		}
	}
}

func describeOutcome(w io.Writer, whose string, o backtest.Outcome) {
	fmt.Fprintf(w, "\n%s: of %d events a rule was about %d and none about %d; a part failed on %d", whose, o.Matched+o.Unmatched, o.Matched, o.Unmatched, o.Failed)
	if o.Unreached > 0 {
		fmt.Fprintf(w, ", and of %d of them it is not known what to fence", o.Unreached)
	}
	more := ""
	if o.DistinctMore {
		more = "more than "
	}
	fmt.Fprintf(w, "\n%d names fenced (%d keys, %d tags, %d prefixes, %d globs, %d times all), %s%d different\n",
		o.Fenced.Sum(), o.Fenced.Keys, o.Fenced.Tags, o.Fenced.Prefixes, o.Fenced.Globs, o.Fenced.All, more, o.Distinct)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "  RULE\tEVENTS\tFAILED\tNAMES\tBROAD\tBUSIEST MINUTE\tBEYOND LIMIT")
	for _, r := range o.Rules {
		fmt.Fprintf(table, "  %s\t%d\t%d\t%d\t%d\t", r.Name, r.Matched, r.Failed, r.Fenced.Single(), r.Fenced.Broad())
		if !r.Busiest.At.IsZero() {
			fmt.Fprintf(table, "%d names, %d broad", r.Busiest.Single, r.Busiest.Broad)
		}
		fmt.Fprint(table, "\t")
		if r.Beyond+r.Large > 0 {
			fmt.Fprintf(table, "%d minutes, %d events", r.Beyond, r.Large)
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // w's own errors are the printer's
	for _, list := range []struct {
		title string
		top   []backtest.Top
	}{{"fenced most often:", o.Top}, {"types that no rule is about:", o.UnmatchedTypes}} {
		if len(list.top) == 0 {
			continue
		}
		fmt.Fprintln(w, list.title)
		for _, t := range list.top {
			fmt.Fprintf(w, "  %8d  %s\n", t.Times, replay.Quote(t.Name))
		}
	}
}
