package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// open joins domain as one more node in this process, with defaults where cfg
// is silent. The domain is made if it is missing.
func (b *bench) open(ctx context.Context, domain string, cfg client.Config) (*client.Client, error) {
	cfg.Domain, cfg.NATSURL, cfg.Create = domain, b.natsURL(), true
	cfg.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return client.Open(ctx, cfg)
}

// shut closes clients.
func shut(clients ...*client.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	for _, c := range clients {
		if c != nil {
			errs = append(errs, c.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// fillers is how many loads run at once while a node is filled: enough to
// keep Redis's pipelines full.
const fillers = 128

// fill lets c load every key of d, through its public door.
func fill(ctx context.Context, c *client.Client, d *data, tags ...string) error {
	errs := make([]error, fillers)
	var all sync.WaitGroup
	for w := range fillers {
		all.Go(func() {
			for at := w; at < len(d.keys) && errs[w] == nil; at += fillers {
				i := d.filling[at]
				_, errs[w] = c.GetOrLoad(ctx, d.keys[i], func(context.Context, string) (client.Loaded, error) {
					return client.Loaded{Value: d.value(i), Tags: tags, TTL: 12 * time.Hour}, nil
				})
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return nil
}

// answered counts what a node answered from beyond its memory, so that a part
// can tell that it measured what it meant to.
type answered struct{ disk, shared, missed, loaded uint64 }

func answers(c *client.Client) answered {
	s := c.Node().Stats()
	return answered{disk: s.DiskHits, shared: s.SharedHits, missed: s.Misses, loaded: s.Loads}
}

func (a answered) since(b answered) answered {
	return answered{disk: a.disk - b.disk, shared: a.shared - b.shared, missed: a.missed - b.missed, loaded: a.loaded - b.loaded}
}
