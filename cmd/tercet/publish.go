package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator"
)

func (a *app) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "publish", Short: "Publish domain events",
		Long: `publish stores domain events where the invalidator reads them: one that is made
of flags, or many from a file or standard input: JSON objects on a line each or
one behind the other, a JSON array, a CloudEvents batch; CloudEvents, Debezium
change events, plain JSON whose type stands in invalidator.type_field.

Every event is checked before it is sent, and counts only once the stream has
acknowledged it. Publishing an event again, with the same source and id, does no
harm. Those that are refused are reported and the others still go out; the exit
code is then 1. After an interruption or a failure, --skip goes on where the
summary says ("resume" in JSON).`,
		Example: `  tercet publish --type shop.product.updated --data '{"id":1,"category":"tea"}'
  tercet publish --file events.jsonl
  zcat events.jsonl.gz | tercet publish --file - --rate 2000
  tercet publish --file events.jsonl --skip 120000
  tercet publish --file changes.jsonl --to events.inventory`,
		Args: args(cobra.NoArgs),
	}
	f := cmd.Flags()
	kind := f.String("type", "", "type of the event, such as shop.price.changed")
	source := f.String("source", "/tercet-cli", "who says so, a URI reference")
	id := f.String("id", "", "id, unique for the source (default: a new one)")
	subject := f.String("subject", "", "what it happened to")
	data := f.String("data", "", "the event's data as JSON; @FILE or - for a file or standard input")
	file := f.String("file", "", "publish the events in this file; - is standard input")
	to := f.String("to", "", "NATS subject (default: events. and the event's type)")
	skip := f.Int("skip", 0, "leave out this many events from the beginning of the file")
	most := f.Float64("rate", 0, "events per second, at most (default: as many as are acknowledged)")
	cmd.RunE = a.runUnbounded([]string{"nats.url"}, func(ctx context.Context, c *config.Config, _ []string) error {
		o := publishOptions{file: *file, to: *to, skip: *skip, rate: *most}
		switch {
		case (*kind == "") == (*file == ""):
			return usagef("want either --type, for one event, or --file, for the events in a file")
		case *skip < 0 || *most < 0:
			return usagef("--skip and --rate: want 0 or more")
		case *kind != "":
			event, err := a.event(*kind, *source, *id, *subject, *data)
			if err != nil {
				return err
			}
			o.events = newEventFile(strings.NewReader(event), 0)
		}
		return a.publish(ctx, c, o)
	})
	return cmd
}

// event makes a CloudEvent of flags.
func (a *app) event(kind, source, id, subject, data string) (string, error) {
	if id == "" {
		id = ulid.Make().String()
	}
	e := map[string]any{
		"specversion": "1.0", "type": kind, "source": source, "id": id,
		"time": time.Now().UTC().Format(time.RFC3339Nano),
	}
	if subject != "" {
		e["subject"] = subject
	}
	if data != "" {
		b, err := a.value(data)
		if err != nil {
			return "", err
		}
		if !json.Valid(b) {
			return "", usagef("--data: want JSON")
		}
		e["data"], e["datacontenttype"] = json.RawMessage(b), "application/json"
	}
	b, err := json.Marshal(e)
	return string(b), err
}

// published is what came of a publish.
type published struct {
	Read   int `json:"read"`
	Stored int `json:"stored"`
	// Repeated are those among the stored that the stream had already.
	Repeated int `json:"repeated"`
	// Refused can't be events; Failed were not acknowledged.
	Refused int     `json:"refused"`
	Failed  int     `json:"failed"`
	Seconds float64 `json:"seconds"`
	// Resume is how many events of the file, from its beginning, are done with.
	Resume int `json:"resume"`
}

// errPartly reports that not all events were stored.
var errPartly = errors.New("not all events were stored")

// publishOptions say what to publish, and where.
type publishOptions struct {
	file   string
	events *eventFile // instead of the file, if not nil
	to     string
	skip   int
	rate   float64 // events per second; 0: as fast as they are acknowledged
}

func (a *app) publish(ctx context.Context, c *config.Config, o publishOptions) error {
	file := o.events
	if file == nil {
		var err error
		if file, err = a.openEvents(o.file); err != nil {
			return err
		}
	}
	defer file.close()
	nc, err := link.Dial(c.NATS, "tercet cli")
	if err != nil {
		return err
	}
	defer nc.Close()
	if c.Create {
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		making, cancel := context.WithTimeout(ctx, a.timeout)
		err = invalidator.EnsureStreams(making, js, invalidator.StreamOptions{Replicas: c.Replicas})
		cancel()
		if err != nil {
			return err
		}
	}
	store, err := link.NewEventStore(nc, a.timeout)
	if err != nil {
		return err
	}
	p := &publisher{store: store, decode: link.DecodeOptions(c.Invalidator), subject: o.to, progress: a.err}
	if o.rate > 0 {
		p.limit = rate.NewLimiter(rate.Limit(o.rate), inFlight)
	}
	began := time.Now()
	result, err := p.all(ctx, file, o.skip)
	result.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	if shown := a.print(result, result.describe); shown != nil {
		err = errors.Join(err, shown)
	}
	return err
}

func (r published) describe(w io.Writer) {
	fmt.Fprintf(w, "%d events stored", r.Stored)
	if r.Repeated > 0 {
		fmt.Fprintf(w, ", %d of them known already", r.Repeated)
	}
	if r.Refused > 0 {
		fmt.Fprintf(w, ", %d lines refused", r.Refused)
	}
	if r.Failed > 0 {
		fmt.Fprintf(w, ", %d not acknowledged", r.Failed)
	}
	if r.Seconds > 0.5 {
		fmt.Fprintf(w, ", %.0f/s", float64(r.Stored)/r.Seconds)
	}
	fmt.Fprintln(w)
	if r.Failed > 0 {
		fmt.Fprintf(w, "to go on where this ended: --skip %d\n", r.Resume)
	}
}
