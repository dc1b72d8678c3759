package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator"
)

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead", Short: "List, show, retry and drop events that were put aside; release parked rules",
		Long: `Two kinds of events are put aside. A dead letter is an event that can't be
understood, or on which a rule fails; what it may have meant was fenced first, as far
as that is known. A parked event is one of a rule that would have cleared more than
its limit: WHAT IT WOULD HAVE CLEARED IS STILL SERVED, until the rule is released.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.deadList(), a.deadShow(), a.deadRetry(), a.deadDrop(), a.deadRules(), a.deadRelease())
	return cmd
}

// letterFlags select letters.
type letterFlags struct {
	parked    bool
	filter    invalidator.LetterFilter
	olderThan time.Duration
	newerThan time.Duration
}

func (l *letterFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&l.parked, "parked", false, "parked events instead of dead letters")
	f.StringVar(&l.filter.Rule, "rule", "", "only those that this rule put aside")
	f.StringVar(&l.filter.Subject, "subject", "", "only events of this subject; * and ? match any")
	f.StringVar(&l.filter.Reason, "reason", "", "only those whose reason holds this text")
	f.DurationVar(&l.newerThan, "newer-than", 0, "only those put aside within this time, such as 2h")
	f.DurationVar(&l.olderThan, "older-than", 0, "only those put aside before this time ago")
	f.BoolVar(&l.filter.Unreached, "unreached", false, "only those that may have left copies alive")
}

func (l *letterFlags) letters(js jetstream.JetStream) (*invalidator.Letters, invalidator.LetterFilter) {
	f := l.filter
	if l.newerThan > 0 {
		f.Since = time.Now().Add(-l.newerThan)
	}
	if l.olderThan > 0 {
		f.Until = time.Now().Add(-l.olderThan)
	}
	if l.parked {
		return invalidator.ParkedEvents(js, f.Rule), f
	}
	return invalidator.DeadLetters(js), f
}

// given reports whether anything narrows the selection.
func (l *letterFlags) given() bool {
	return l.filter != (invalidator.LetterFilter{}) || l.newerThan > 0 || l.olderThan > 0
}

func (a *app) withJetStream(c *config.Config, f func(jetstream.JetStream) error) error {
	nc, err := link.Dial(c.NATS, "tercet cli")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return f(js)
}

// letterView is a letter as it is printed.
type letterView struct {
	Number  uint64              `json:"number"`
	Stored  time.Time           `json:"stored"`
	Subject string              `json:"subject"`
	Reason  string              `json:"reason"`
	Rule    string              `json:"rule,omitempty"`
	Field   string              `json:"field,omitempty"`
	Event   string              `json:"event,omitempty"`
	Reached bool                `json:"reached"`
	Stream  string              `json:"stream"`
	At      uint64              `json:"at"`
	Omitted bool                `json:"body_omitted,omitempty"`
	Headers map[string][]string `json:"headers,omitempty"`
	Body    string              `json:"body,omitempty"`
}

func viewOf(l invalidator.Letter) letterView {
	return letterView{
		Number: l.Sequence, Stored: l.Stored.UTC(), Subject: l.Subject, Reason: l.Reason, Rule: l.Rule, Field: l.Field,
		Event: l.Event, Reached: l.Reached, Stream: l.Stream, At: l.At, Omitted: l.Omitted,
	}
}

func (a *app) deadList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List events that were put aside, the oldest first",
		Example: `  tercet dead list
  tercet dead list --rule price-changed --newer-than 24h
  tercet dead list --parked --json`,
		Args: args(cobra.NoArgs),
	}
	var which letterFlags
	which.add(cmd.Flags())
	most := cmd.Flags().Int("limit", 1000, "at most so many")
	cmd.RunE = a.run([]string{"nats.url"}, func(ctx context.Context, c *config.Config, _ []string) error {
		return a.withJetStream(c, func(js jetstream.JetStream) error {
			letters, filter := which.letters(js)
			views := []letterView{}
			for l, err := range letters.All(ctx, filter) {
				if err != nil {
					return err
				}
				if len(views) == *most {
					fmt.Fprintf(a.err, "there are more; see them with --limit\n")
					break
				}
				views = append(views, viewOf(l))
			}
			return a.print(views, func(w io.Writer) { listLetters(w, views) })
		})
	})
	return cmd
}

func listLetters(w io.Writer, views []letterView) {
	if len(views) == 0 {
		fmt.Fprintln(w, "nothing was put aside")
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintln(t, "NUMBER\tSTORED\tSUBJECT\tRULE\tREACHED\tREASON")
	for _, v := range views {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%t\t%.100s\n", v.Number, v.Stored.Format(time.RFC3339), v.Subject, orDash(v.Rule), v.Reached, v.Reason)
	}
}

// letterNumber reads the number of a letter.
func letterNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("letter %q: want its number, as `tercet dead list` prints it", text)
	}
	return n, nil
}

func (a *app) deadShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show NUMBER", Short: "Show one event that was put aside, with its headers and body", Args: args(cobra.ExactArgs(1))}
	parked := cmd.Flags().Bool("parked", false, "a parked event instead of a dead letter")
	cmd.RunE = a.run([]string{"nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		n, err := letterNumber(args[0])
		if err != nil {
			return err
		}
		return a.withJetStream(c, func(js jetstream.JetStream) error {
			letters, _ := (&letterFlags{parked: *parked}).letters(js)
			l, err := letters.Get(ctx, n)
			if err != nil {
				return err
			}
			v := viewOf(l)
			v.Headers, v.Body = l.Header, string(l.Body)
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s of %s, from %s at %d\nreason: %s\n\n", v.Subject, v.Stored.Format(time.RFC3339), v.Stream, v.At, v.Reason)
				for name, values := range v.Headers {
					for _, value := range values {
						fmt.Fprintf(w, "%s: %s\n", name, value)
					}
				}
				fmt.Fprintf(w, "\n%s\n", v.Body)
			})
		})
	})
	return cmd
}

func (a *app) deadRetry() *cobra.Command {
	return a.deadEach("retry", "Send events that were put aside through the rules again",
		`retry publishes the events once more, on the subject that they came by, and removes
each letter once its event is stored. An event that fails again is put aside again.
Parked events pass their rule's limit; the rule stays parked.`,
		func(ctx context.Context, letters *invalidator.Letters, l invalidator.Letter, parked bool) error {
			if parked {
				return letters.Retry(ctx, l, l.Rule)
			}
			return letters.Retry(ctx, l)
		})
}

func (a *app) deadDrop() *cobra.Command {
	return a.deadEach("drop", "Remove events that were put aside, for good",
		`drop removes letters. What the events would still have cleared stays: of parked events
all, of dead letters what was not reached.`,
		func(ctx context.Context, letters *invalidator.Letters, l invalidator.Letter, _ bool) error {
			return letters.Drop(ctx, l.Sequence)
		})
}

// deadEach is a command that does something to letters, by number or filter.
func (a *app) deadEach(verb, short, long string, do func(context.Context, *invalidator.Letters, invalidator.Letter, bool) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " [NUMBER...]", Short: short, Long: long,
		Example: "  tercet dead " + verb + " 17 18\n  tercet dead " + verb + " --rule price-changed\n  tercet dead " + verb + " --all",
	}
	var which letterFlags
	which.add(cmd.Flags())
	all := cmd.Flags().Bool("all", false, "every one")
	cmd.RunE = a.runUnbounded([]string{"nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		if (len(args) > 0) == (which.given() || *all) {
			return usagef("want either numbers, or a filter such as --rule, or --all")
		}
		return a.withJetStream(c, func(js jetstream.JetStream) error {
			letters, filter := which.letters(js)
			done, failed := 0, error(nil)
			one := func(l invalidator.Letter) {
				if err := do(ctx, letters, l, which.parked); err != nil {
					failed = errors.Join(failed, err)
					return
				}
				done++
			}
			for _, text := range args {
				n, err := letterNumber(text)
				if err != nil {
					return err
				}
				l, err := letters.Get(ctx, n)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				one(l)
			}
			if len(args) == 0 {
				for l, err := range letters.All(ctx, filter) {
					if err != nil {
						failed = errors.Join(failed, err)
						break
					}
					one(l)
				}
			}
			return errors.Join(a.print(map[string]any{"command": verb, "done": done}, func(w io.Writer) { fmt.Fprintf(w, "%s: %d\n", verb, done) }), failed)
		})
	})
	return cmd
}

func (a *app) deadRules() *cobra.Command {
	return &cobra.Command{
		Use: "rules", Short: "List parked rules: since when, and why", Args: args(cobra.NoArgs),
		RunE: a.run([]string{"nats.url"}, func(ctx context.Context, c *config.Config, _ []string) error {
			return a.withJetStream(c, func(js jetstream.JetStream) error {
				states, err := invalidator.States(ctx, js)
				if err != nil {
					return err
				}
				if states == nil {
					states = []invalidator.RuleState{}
				}
				return a.print(states, func(w io.Writer) {
					if len(states) == 0 {
						fmt.Fprintln(w, "no rule is parked")
					}
					for _, s := range states {
						fmt.Fprintf(w, "%s is parked since %s: %s\n", s.Rule, s.Since.Format(time.RFC3339), s.Why)
					}
				})
			})
		}),
	}
}

func (a *app) deadRelease() *cobra.Command {
	return &cobra.Command{
		Use: "release RULE", Short: "Let a parked rule go, and process what waits for it",
		Long: `release lets a rule's events be fenced again, with a fresh budget for this minute, and
sends those that were parked through the rules once more, past the rule's limit.
Look first at what that will clear: tercet dead list --parked --rule RULE. It may be
repeated after a failure.`,
		Example: `  tercet dead release price-changed`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: a.runUnbounded([]string{"nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
			return a.withJetStream(c, func(js jetstream.JetStream) error {
				moved, err := invalidator.Release(ctx, js, args[0])
				if err != nil {
					return err
				}
				return a.print(map[string]any{"released": args[0], "events": moved}, func(w io.Writer) {
					fmt.Fprintf(w, "rule %q is released; %d events go through the rules again\n", args[0], moved)
				})
			})
		}),
	}
}
