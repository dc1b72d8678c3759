package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
)

// sample is how many keys are read on each node after a broad invalidation.
const sample = 50_000

// runBroad measures an invalidation of all copies of three nodes by their tag
// and by their prefix beside one of a single key, counts its records, and then
// finds no copy alive.
func runBroad(ctx context.Context, b *bench) error {
	for _, x := range []struct {
		name string
		by   client.Invalidation
	}{
		{"tag", client.Invalidation{Tags: []string{tag}}},
		{"prefix", client.Invalidation{Prefixes: []string{prefix}}},
	} {
		if err := b.broad(ctx, "bench-"+x.name, x.name, x.by); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) broad(ctx context.Context, domain, name string, by client.Invalidation) error {
	var files owner
	defer files.release()
	d := newData(b.copies, 100)
	var nodes []*client.Client
	defer func() { _ = shut(nodes...) }() // measured by then
	var records atomic.Int64              // that fence more than single keys
	for who := range members {
		cfg := client.Config{L1Size: int64(max(64<<20, 2*b.copies*260)), DataDir: files.TempDir()}
		if who == 0 {
			cfg.OnApply = func(_ int, _ events.Mark, changes []events.Change) {
				for _, c := range changes {
					if i, ok := c.(*events.Invalidate); ok && i.Scope.Broad() {
						records.Add(1)
					}
				}
			}
		}
		c, err := b.open(ctx, domain, cfg)
		if err != nil {
			return err
		}
		nodes = append(nodes, c)
		if err := fill(ctx, c, d, tag); err != nil {
			return err
		}
	}
	b.say("%d copies lie on each of %d nodes", b.copies, members)

	first := nodes[0]
	one := func(i client.Invalidation) func() (time.Duration, error) {
		return timed(func() error {
			_, err := first.Invalidate(ctx, i)
			return err
		})
	}
	single := one(client.Invalidation{Keys: []string{"elsewhere"}})
	for range 20 { // warms up
		if _, err := single(); err != nil {
			return err
		}
	}
	// The copies are alive until here; what this one takes is what counts.
	began := time.Now()
	t, err := first.Invalidate(ctx, by)
	if err != nil {
		return err
	}
	took := time.Since(began)
	fences := records.Load()
	if err := dead(ctx, nodes, d, t); err != nil {
		return err
	}
	b.add(row{Name: fmt.Sprintf("first invalidation of %d copies by %s", b.copies, name), Unit: nanoseconds, Ours: float64(took)})
	b.add(row{Name: "records of that invalidation", Unit: count, Ours: float64(fences)})
	b.add(row{Name: fmt.Sprintf("reads of %d sampled keys on %d nodes that were not a miss", min(sample, b.copies), members), Unit: count})
	p, err := b.pairing().run(ctx, medians(single), medians(one(by)))
	if err != nil {
		return err
	}
	b.add(row{Name: "invalidation by " + name + " beside by key, p50", Unit: nanoseconds, Target: 1.1}.of(p))
	return nil
}

// dead reads keys from all over d on every node and fails unless each misses.
func dead(ctx context.Context, nodes []*client.Client, d *data, t client.Token) error {
	step := max(1, len(d.keys)/sample)
	for who, c := range nodes {
		for i := 0; i < len(d.keys); i += step {
			if _, err := c.Get(ctx, d.keys[i], client.At(client.Session(t))); !errors.Is(err, client.ErrNotFound) {
				return fmt.Errorf("node %d: key %q after its invalidation: %v, want a miss", who, d.keys[i], err)
			}
		}
	}
	return nil
}
