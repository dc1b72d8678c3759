package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/warmer/access"
	"github.com/raptorflow/tercet/internal/warmer/natslink"
	"github.com/raptorflow/tercet/internal/warmer/worker"
)

// ErrNoOrigin: this process has no way to load the key.
var ErrNoOrigin = errors.New("no origin")

// warming is this process's part in keeping hot keys warm: it tells the warmer
// what is read here, and loads what the warmer asks for.
type warming struct {
	report *access.Reporter // nil: says nothing
	worker *worker.Worker   // nil: loads nothing
	stop   context.CancelFunc
	all    sync.WaitGroup
}

// buildReport comes before the node, which calls it on every read.
func (c *Client) buildReport() (func(key string, e tiers.Entry), error) {
	if c.cfg.AccessSample <= 0 {
		return nil, nil
	}
	r, err := access.New(natslink.NewAccesses(c.nc, c.cfg.Domain), access.Config{
		Node: events.NodeID(c.cfg.NodeID), Sample: c.cfg.AccessSample,
	})
	if err != nil {
		return nil, err
	}
	c.warming.report = r
	return func(key string, e tiers.Entry) {
		if !r.Picked() {
			return
		}
		var tags []string
		if e != nil {
			for t := range e.Tags() {
				tags = append(tags, t)
			}
		}
		r.Record(key, tags)
	}, nil
}

func (c *Client) buildWorker() error {
	if c.origin == nil {
		return nil
	}
	work, err := natslink.NewWork(c.nc, c.cfg.Domain)
	if err != nil {
		return err
	}
	c.warming.worker, err = worker.New(work, reloader{c}, worker.Config{Logger: c.cfg.Logger})
	return err
}

// WarmingStats returns what this process's worker for the warmer has counted;
// all zero without an Origin.
func (c *Client) WarmingStats() worker.Counters {
	if c.warming.worker == nil {
		return worker.Counters{}
	}
	return c.warming.worker.Counters()
}

// start runs what was built until halt.
func (w *warming) start(fault func(error)) {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	run := func(what string, f func(context.Context) error) {
		w.all.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				fault(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	if w.report != nil {
		run("report reads", w.report.Run)
	}
	if w.worker != nil {
		run("load for the warmer", w.worker.Run)
	}
}

func (w *warming) halt() {
	if w.stop != nil {
		w.stop()
		w.all.Wait()
	}
}

// reloader carries out the warmer's requests.
type reloader struct{ c *Client }

func (r reloader) Reload(ctx context.Context, key string, _ events.Position) error {
	// A strong read has applied the fence behind the request.
	err := r.c.Reload(ctx, key)
	if errors.Is(err, ErrNoOrigin) {
		return fmt.Errorf("%w: %w", worker.ErrNoLoader, err)
	}
	return err
}

// Reload makes sure that the cache holds a live copy of key, and asks the
// origin for one if it does not. It returns [ErrNoOrigin] without an
// Origin in the config, or if the Origin says so of this key.
func (c *Client) Reload(ctx context.Context, key string) error {
	if c.origin == nil {
		return &node.Error{Op: "reload", Key: key, Err: ErrNoOrigin}
	}
	_, err := c.node.Get(ctx, key, nil, node.ReadOptions{Load: c.origin, Level: Strong()})
	if errors.Is(err, ErrNotFound) {
		return nil // and that is known now
	}
	return err
}
