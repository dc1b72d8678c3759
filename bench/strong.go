package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/raptorflow/tercet/pkg/client"
)

// readers is how many strong reads run at once where sharing is measured.
const readers = 64

// runStrong measures a strong read, which needs a pulse of its own to go
// through the log, beside a JetStream publish; then how many readers share a
// pulse when many read at once.
func runStrong(ctx context.Context, b *bench) error {
	var files owner
	defer files.release()
	c, err := b.open(ctx, "bench-strong", client.Config{DataDir: files.TempDir()})
	if err != nil {
		return err
	}
	defer shut(c)
	d := newData(10_000, 100)
	if err := fill(ctx, c, d); err != nil {
		return err
	}
	raw, err := newPublisher(ctx, b)
	if err != nil {
		return err
	}
	defer raw.undo()

	var at atomic.Int64
	read := func() error {
		i := int(at.Add(1)) % len(d.keys)
		v, err := c.Get(ctx, d.keys[i], client.At(client.Strong()))
		if err != nil || !d.right(i, v.Bytes) {
			return errors.Join(err, wrong("tercet", d.keys[i], v.Bytes))
		}
		return nil
	}
	p, err := b.pairing().run(ctx, medians(timed(raw.publish)), medians(timed(read)))
	if err != nil {
		return err
	}
	b.add(row{Name: "strong Get, p50", Unit: nanoseconds, Target: 1.6}.of(p))

	from, pulses := at.Load(), c.Node().Stats().Pulses
	p, err = b.pairing().run(ctx,
		rate(readers, func(int) error { return raw.publish() }),
		rate(readers, func(int) error { return read() }))
	if err != nil {
		return err
	}
	b.add(row{Name: "strong Gets by 64 readers at once", Unit: perSecond}.of(p))
	b.add(row{Name: "reads to a pulse, 64 readers", Unit: count,
		Ours: float64(at.Load()-from) / float64(c.Node().Stats().Pulses-pulses)})
	return nil
}
