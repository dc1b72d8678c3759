// Command warmer has hot keys loaded again after they were invalidated.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/warmer"
	"github.com/raptorflow/tercet/internal/warmer/hotset"
	"github.com/raptorflow/tercet/internal/warmer/natslink"
)

const long = `warmer learns from the nodes which keys are read most, follows the domain's log,
and has hot keys loaded again right after they were invalidated, paced so that
no origin is flooded.

The loads are done by nodes that have a loader for a key. With --warmer-origin
the warmer also runs a node of its own, which fetches values over HTTP and fills
the tiers that it shares with the others.

Losing a warmer loses no data and no coherence: the next reader loads the key.

Exit codes: 0 stopped on request, 2 configuration that can't work, 1 other.`

const example = `  warmer --domain shop --nats-url nats://127.0.0.1:4222
  warmer --domain shop --nats-url nats://127.0.0.1:4222 --redis-url redis://127.0.0.1:6379 \
    --warmer-origin 'http://127.0.0.1:9000/values/{key}'`

func main() {
	cmd := config.Command(config.ForWarmer, "warmer", "Load hot keys again after they were invalidated", long, run)
	cmd.Example = example
	os.Exit(ops.Execute(cmd))
}

func run(cmd *cobra.Command, c *config.Config) error {
	ctx, log := cmd.Context(), ops.Logger(c.Log)
	nc, err := link.Keep(ctx, c.NATS, "tercet warmer "+c.Domain, log)
	if err != nil {
		return err
	}
	defer nc.Close()
	var create *events.Settings
	if c.Create {
		s := c.Settings()
		create = &s
	}
	domain, err := jslog.AwaitDomain(ctx, nc, c.Domain, create, log)
	if err != nil {
		return err
	}
	defer domain.Close()
	work, err := natslink.NewWork(nc, c.Domain)
	if err != nil {
		return err
	}
	w, err := newWarmer(ctx, nc, domain, work, c, log)
	if err != nil {
		return err
	}
	own, err := openOrigin(ctx, nc, c, log)
	if err != nil {
		return err
	}
	defer own.close(ctx, log)

	metrics := []ops.Samples{samples(w)}
	runs := []func(context.Context) error{w.Run}
	if own != nil {
		metrics = append(metrics, workerSamples(own.node), originSamples(own.http))
	}
	server, err := ops.NewServer(c.HTTP, func() error { return ready(nc) }, log, join(metrics))
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range append(runs, server.Run) {
		g.Go(func() error { return run(ctx) })
	}
	log.Info("warming", "domain", c.Domain, "keys", c.Warmer.Keys, "rate", c.Warmer.Rate)
	return g.Wait()
}

func newWarmer(ctx context.Context, nc *nats.Conn, domain *jslog.Domain, work *natslink.Work, c *config.Config, log *slog.Logger) (*warmer.Warmer, error) {
	hot, err := hotset.New(warmer.DefaultHotset(c.Warmer.Keys))
	if err != nil {
		return nil, err
	}
	n := domain.Settings().Partitions
	d := warmer.Deps{
		Accesses: natslink.NewAccesses(nc, c.Domain), Queue: work, Predictor: hot, Logger: log,
		Partition: func(key string) int { return node.Partition(key, n) },
	}
	for p := range n {
		var last events.Mark
		err := jslog.Await(ctx, log, "the domain's streams", func(ctx context.Context) (err error) {
			last, err = domain.Last(ctx, p)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("find the end of the log: %w", err)
		}
		d.Logs = append(d.Logs, domain.Log(p))
		d.Start = append(d.Start, last)
	}
	return warmer.New(d, warmer.Config{Rate: c.Warmer.Rate, Burst: max(1, c.Warmer.Concurrency)})
}

var errDisconnected = errors.New("not connected to NATS")

func ready(nc *nats.Conn) error {
	if !nc.IsConnected() {
		return errDisconnected
	}
	return nil
}
