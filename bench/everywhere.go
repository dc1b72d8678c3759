package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/pkg/client"
)

// runEverywhere measures a write that returns once no node can serve what was
// before it, with three healthy nodes, beside a JetStream publish. Its target is
// for the 99th percentile; the slices are longer than elsewhere, so that there
// is one.
func runEverywhere(ctx context.Context, b *bench) error {
	const nodes, domain = 3, "bench-everywhere"
	var files owner
	defer files.release()
	var members []*client.Client
	defer func() { _ = shut(members...) }()
	for i := range nodes {
		c, err := b.open(ctx, domain, client.Config{DataDir: files.TempDir(), NodeID: fmt.Sprint("node-", i)})
		if err != nil {
			return err
		}
		members = append(members, c)
	}
	d := newData(10_000, 100)
	raw, err := newPublisher(ctx, b)
	if err != nil {
		return err
	}
	defer raw.undo()
	at := cursor{n: len(d.keys)}
	var last int
	set := func() error {
		last = at.next()
		_, err := members[0].Set(ctx, d.keys[last], d.value(last), client.Everywhere())
		return err
	}
	// The first waits until nobody can hold a lease from before the epoch.
	if err := set(); err != nil {
		return err
	}
	long := pairing{rounds: max(b.rounds/5, 5), slice: 15 * b.slice}
	for _, x := range []struct {
		name   string
		q      float64
		target float64
	}{{"Set everywhere, 3 nodes, p50", 0.5, 0}, {"Set everywhere, 3 nodes, p99", 0.99, 4}} {
		p, err := long.run(ctx, percentiles(x.q, timed(raw.publish)), percentiles(x.q, timed(set)))
		if err != nil {
			return err
		}
		b.add(row{Name: x.name, Unit: nanoseconds, Target: x.target}.of(p))
	}
	var errs []error
	for _, c := range members {
		v, err := c.Get(ctx, d.keys[last])
		if err == nil && !d.right(last, v.Bytes) {
			err = wrong("tercet", d.keys[last], v.Bytes)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
