package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/internal/replay"
)

func (a *app) rulesExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain [EVENTS]", Short: "Say what the rules make of an event, rule by rule",
		Long: `explain reads events from a file, or from standard input, and says of each what the
configured rules (--rules) would fence, which rules do not fit and why not, and
which parts of rules fail. Nothing is sent anywhere.`,
		Example: `  tercet rules explain --rules rules.yaml event.json
  echo '{"op":"u","source":{"connector":"mysql","table":"orders"},"after":{"id":7}}' |
    tercet rules explain --rules rules.yaml
  tercet rules explain --rules rules.yaml --header ce-specversion=1.0 --header ce-id=1 \
    --header ce-source=/s --header ce-type=shop.price.changed payload.json`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	f := cmd.Flags()
	channel := f.String("channel", "events.explained", "the NATS subject that the event is said to have come by")
	given := f.StringArray("header", nil, "a header of the message, as name=value; may be repeated")
	matching := f.Bool("matching", false, "leave out the rules that do not fit")
	cmd.RunE = a.runUnbounded([]string{"rules"}, func(ctx context.Context, c *config.Config, names []string) error {
		set, err := readRules(c.Rules, c.Domain)
		if err != nil {
			return err
		}
		headers := map[string]string{}
		for _, h := range *given {
			name, value, ok := strings.Cut(h, "=")
			if !ok {
				return usagef("--header %q: want name=value", h)
			}
			headers[strings.ToLower(name)] = value
		}
		name := "-"
		if len(names) == 1 {
			name = names[0]
		}
		file, err := a.openEvents(name)
		if err != nil {
			return err
		}
		defer file.close()
		x := explainer{app: a, set: set, matching: *matching, decode: link.DecodeOptions(c.Invalidator),
			message: domainevent.Message{Channel: *channel, Headers: headers}}
		return x.all(ctx, file)
	})
	return cmd
}

// explainer explains events one by one.
type explainer struct {
	app      *app
	set      *rules.Set
	matching bool
	decode   domainevent.Options
	message  domainevent.Message // without its body
}

// all explains every event of a file. The error is about the last that could
// not be read.
func (x *explainer) all(ctx context.Context, file *eventFile) (failed error) {
	for ctx.Err() == nil {
		body, err := file.next()
		if errors.Is(err, io.EOF) {
			return failed
		}
		if err == nil {
			m := x.message
			m.ID, m.Body = fmt.Sprintf("%s %d", file.unit, file.at), body
			err = x.one(m)
		}
		if err != nil {
			failed = fmt.Errorf("%s %d: %w", file.unit, file.at, err)
			fmt.Fprintln(x.app.err, failed)
		}
		if errors.Is(err, errUnreadable) {
			return failed
		}
	}
	return ctx.Err()
}

func (x *explainer) one(m domainevent.Message) error {
	all, err := domainevent.Decode(m, x.decode)
	for _, e := range all {
		v := explanationView{ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Format: string(e.Format)}
		if c := e.Change; c != nil {
			v.Table, v.Operation, v.Position = c.Place(), string(c.Operation), c.Position
		}
		for _, verdict := range x.set.Explain(e) {
			if verdict.Mismatch == "" || !x.matching {
				v.Rules = append(v.Rules, viewVerdict(verdict))
			}
		}
		if err := x.app.print(v, v.describe); err != nil {
			return err
		}
	}
	return err
}

// explanationView is an event and what the rules make of it.
type explanationView struct {
	ID        string        `json:"id"`
	Source    string        `json:"source"`
	Type      string        `json:"type"`
	Subject   string        `json:"subject,omitempty"`
	Format    string        `json:"format"`
	Table     string        `json:"table,omitempty"`
	Operation string        `json:"operation,omitempty"`
	Position  string        `json:"source_position,omitempty"`
	Rules     []verdictView `json:"rules"`
}

type verdictView struct {
	Rule     string             `json:"rule"`
	Matched  bool               `json:"matched"`
	Mismatch string             `json:"mismatch,omitempty"`
	Why      string             `json:"why,omitempty"`
	Domains  []string           `json:"domains,omitempty"`
	Fence    *replay.ChangeView `json:"fence,omitempty"`
	Handling []string           `json:"handling,omitempty"`
	Faults   []evalView         `json:"faults,omitempty"`
}

// evalView is a part of a rule that failed.
type evalView struct {
	Part    string `json:"part"`
	Field   string `json:"field,omitempty"`
	Detail  string `json:"detail"`
	Reached bool   `json:"reached"`
}

func viewVerdict(v rules.Verdict) verdictView {
	view := verdictView{Rule: v.Rule, Matched: v.Mismatch == "", Mismatch: v.Mismatch, Why: v.Why, Domains: v.Domains}
	if !v.Scope.Empty() {
		fence := replay.ViewScope("fence", v.Scope)
		fence.Soft, fence.Source = v.Soft, v.Source
		view.Fence = &fence
	}
	say := func(set bool, format string, args ...any) {
		if set {
			view.Handling = append(view.Handling, fmt.Sprintf(format, args...))
		}
	}
	say(v.Everywhere, "everywhere")
	say(v.Settle > 0, "again after %v", v.Settle)
	say(v.Coalesce > 0, "gathered for %v", v.Coalesce)
	say(v.Warm, "hot victims are loaded again")
	n := len(v.Scope.Keys) + len(v.Scope.Tags) + len(v.Scope.Prefixes) + len(v.Scope.Globs)
	say(v.Limit.NamesPerEvent > 0 && n > v.Limit.NamesPerEvent, "beyond its limit of %d names per event", v.Limit.NamesPerEvent)
	for _, f := range v.Faults {
		view.Faults = append(view.Faults, evalView{f.Part, f.Field, f.Error(), f.Reached})
	}
	return view
}

func (v explanationView) describe(w io.Writer) {
	fmt.Fprintf(w, "%s %s %s, %s", v.Type, v.Source, v.ID, v.Format)
	if v.Operation != "" {
		fmt.Fprintf(w, ": %s of %s", v.Operation, replay.Quote(v.Table))
	}
	if v.Position != "" {
		fmt.Fprintf(w, " at %s", replay.Quote(v.Position))
	}
	fmt.Fprintln(w)
	matched := 0
	for _, r := range v.Rules {
		if !r.Matched {
			fmt.Fprintf(w, "  %-24s does not fit: %s: %s\n", r.Rule, r.Mismatch, r.Why)
			continue
		}
		matched++
		if r.Fence != nil {
			fmt.Fprintf(w, "  %-24s in %s: %s\n", r.Rule, strings.Join(r.Domains, ", "), r.Fence.Text())
		} else {
			fmt.Fprintf(w, "  %-24s fits and names nothing\n", r.Rule)
		}
		if len(r.Handling) > 0 {
			fmt.Fprintf(w, "  %-24s   %s\n", "", strings.Join(r.Handling, ", "))
		}
		for _, f := range r.Faults {
			fate := "its reach is fenced instead"
			if !f.Reached {
				fate = "what it could mean is NOT known, and not fenced"
			}
			fmt.Fprintf(w, "  %-24s   FAILS: %s; %s\n", "", f.Detail, fate)
		}
	}
	if matched == 0 {
		fmt.Fprintln(w, "  no rule is about this event")
	}
}
