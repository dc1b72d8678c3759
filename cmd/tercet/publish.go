package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator"
)

func (a *app) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "publish", Short: "Publish domain events",
		Long: `publish stores domain events where the invalidator reads them: one that is made
of flags, or many, one JSON object per line, from a file or standard input
(CloudEvents, Debezium change events, plain JSON with a type).

Every event is checked before it is sent, and counts only once the stream has
acknowledged it. Publishing an event again, with the same source and id, does no
harm. Lines that are refused are reported and the others still go out; the exit
code is then 1.`,
		Example: `  tercet publish --type shop.product.updated --data '{"id":1,"category":"tea"}'
  tercet publish --file events.jsonl
  zcat events.jsonl.gz | tercet publish --file -
  tercet publish --file changes.jsonl --to events.inventory`,
		Args: args(cobra.NoArgs),
	}
	f := cmd.Flags()
	kind := f.String("type", "", "type of the event, such as shop.price.changed")
	source := f.String("source", "/tercet-cli", "who says so, a URI reference")
	id := f.String("id", "", "id, unique for the source (default: a new one)")
	subject := f.String("subject", "", "what it happened to")
	data := f.String("data", "", "the event's data as JSON; @FILE or - for a file or standard input")
	file := f.String("file", "", "publish the lines of this file; - is standard input")
	to := f.String("to", "", "NATS subject (default: events. and the event's type)")
	cmd.RunE = a.runUnbounded([]string{"nats.url"}, func(ctx context.Context, c *config.Config, _ []string) error {
		var lines io.Reader
		switch {
		case (*kind == "") == (*file == ""):
			return usagef("want either --type, for one event, or --file, for the events in a file")
		case *kind != "":
			event, err := a.event(*kind, *source, *id, *subject, *data)
			if err != nil {
				return err
			}
			lines = strings.NewReader(event)
		case *file == "-":
			lines = a.in
		default:
			f, err := os.Open(*file)
			if err != nil {
				return usagef("%v", err)
			}
			defer f.Close()
			lines = f
		}
		return a.publish(ctx, c, lines, *to)
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
}

// errPartly reports that not all events were stored.
var errPartly = errors.New("not all events were stored")

// maxLine bounds one event, in bytes: NATS takes no larger message by default.
const maxLine = 1 << 20

func (a *app) publish(ctx context.Context, c *config.Config, lines io.Reader, to string) error {
	nc, err := link.Dial(c.NATS, "tercet cli")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(inFlight), jetstream.WithPublishAsyncTimeout(a.timeout))
	if err != nil {
		return err
	}
	if c.Create {
		making, cancel := context.WithTimeout(ctx, a.timeout)
		err := invalidator.EnsureStreams(making, js, invalidator.StreamOptions{Replicas: c.Replicas})
		cancel()
		if err != nil {
			return err
		}
	}
	began := time.Now()
	p := newPublisher(js, a.err)
	result, err := p.all(ctx, bufio.NewReaderSize(lines, 64<<10), to)
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
}
