// Command invalidator turns domain events into invalidations, by rules.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator"
)

const long = `invalidator follows domain events (CloudEvents, Debezium changes, plain JSON) in
a JetStream stream, asks rules which cached copies each of them kills, and puts
that into the domains' logs. An event is acknowledged after its fences landed.

Any number of invalidators may run; they share the work. Rules are read again
when their files change or on SIGHUP; while a file is bad, the running rules
stay.

Exit codes: 0 stopped on request, 2 configuration that can't work, 1 other.`

const example = `  invalidator --domain shop --nats-url nats://127.0.0.1:4222 --rules examples/rules/shop.yaml
  invalidator --config tercet.yaml --http-addr 127.0.0.1:8082`

func main() {
	cmd := config.Command(config.ForInvalidator, "invalidator", "Turn domain events into invalidations", long, run)
	cmd.Example = example
	os.Exit(ops.Execute(cmd))
}

func run(cmd *cobra.Command, c *config.Config) error {
	ctx, log := cmd.Context(), ops.Logger(c.Log)
	files := ruleFiles{paths: c.Rules, domain: c.Domain}
	texts, err := files.read()
	if err != nil {
		return err
	}
	set, err := files.parse(texts)
	if err != nil {
		return err
	}
	nc, err := link.Keep(ctx, c.NATS, "tercet invalidator", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	var create *events.Settings
	if c.Create {
		s := c.Settings()
		create = &s
		err := jslog.Await(ctx, log, "the streams of events", func(ctx context.Context) error {
			return invalidator.EnsureStreams(ctx, js, invalidator.StreamOptions{Replicas: c.Replicas})
		})
		if err != nil {
			return err
		}
	}
	fencer := link.NewFencer(nc, create, log)
	defer fencer.Close() // after Run: nothing fences any more
	if err := fencer.Prepare(ctx, set.Domains()); err != nil {
		return err
	}
	everywhere := link.NewEverywhere(c, log)
	defer everywhere.Close() // for the same reason
	inv, err := invalidator.New(
		invalidator.Deps{JetStream: js, Fencer: fencer, Everywhere: everywhere, Rules: set, Logger: log},
		invalidator.Config{
			Stream: c.Invalidator.Stream, Subjects: []string{c.Invalidator.Subject}, Durable: c.Invalidator.Durable,
			InFlight: c.Invalidator.Workers, Retries: c.Invalidator.Retries, AckWait: c.Invalidator.AckWait,
			Decode: link.DecodeOptions(c.Invalidator),
		})
	if err != nil {
		return err
	}
	door, err := newDoor(ctx, c, log)
	if err != nil {
		return err
	}
	defer door.close()
	reloads := &reloads{}
	files.unreadable = reloads.done
	server, err := ops.NewServer(c.HTTP, func() error { return ready(nc, inv) }, log, samples(inv), door.samples(), reloads.samples())
	if err != nil {
		return err
	}
	server.Handle(doorPattern, door.handler(fencer.Knows))
	server.Note(reloads.note)
	server.Note(func() string { return parkedNote(inv.Parked()) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return inv.Run(ctx) })
	g.Go(func() error { return server.Run(ctx) })
	g.Go(func() error {
		return files.watch(ctx, texts, log, reloads.watched(func(ctx context.Context, texts []string) error {
			set, err := files.parse(texts)
			if err != nil {
				return err
			}
			// The logs first: a rule must not meet a domain that is not open.
			if err := fencer.Prepare(ctx, set.Domains()); err != nil {
				return err
			}
			inv.SetRules(set)
			log.Info("rules are in force", "rules", set.Len(), "domains", set.Domains())
			return nil
		}))
	})
	log.Info("rules are in force", "rules", set.Len(), "domains", set.Domains())
	return g.Wait()
}

var (
	errDisconnected = errors.New("not connected to NATS")
	errNotFollowing = errors.New("events are not followed yet")
)

func ready(nc *nats.Conn, inv *invalidator.Invalidator) error {
	if !nc.IsConnected() {
		return errDisconnected
	}
	select {
	case <-inv.Ready():
		return nil
	default:
		return errNotFollowing
	}
}

// parkedNote says which rules are parked. That does not make the service
// unready: taking it out of service would stop the other rules too.
func parkedNote(parked []invalidator.RuleState) string {
	lines := make([]string, len(parked))
	for i, r := range parked {
		lines[i] = fmt.Sprintf("rule %q is parked since %s and clears nothing: %s; let it go with: tercet dead release %q",
			r.Rule, r.Since.Format(time.RFC3339), r.Why, r.Rule)
	}
	return strings.Join(lines, "\n")
}
