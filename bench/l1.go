package main

import (
	"context"
	"fmt"

	"github.com/coocood/freecache"

	"github.com/raptorflow/tercet/pkg/client"
)

// runL1 measures a hit in memory: freecache's Get beside Client.Get, which
// give the caller memory of his own, and GetWithBuf beside GetInto, which
// write into his buffer.
func runL1(ctx context.Context, b *bench) error {
	for _, payload := range []int{100, 1024} {
		for _, n := range b.sizes {
			if err := b.l1(ctx, n, payload); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) l1(ctx context.Context, n, payload int) error {
	d := newData(n, payload)
	// Room for twice what lies in it, so that neither evicts: freecache's
	// segments don't fill evenly.
	size := max(64<<20, 2*n*(payload+160))
	raw := freecache.NewCache(size)
	for _, i := range d.filling {
		if err := raw.Set(d.names[i], d.value(i), 0); err != nil {
			return err
		}
	}
	c, err := b.open(ctx, "bench-l1", client.Config{L1Size: int64(size)})
	if err != nil {
		return err
	}
	defer shut(c)
	if err := fill(ctx, c, d); err != nil {
		return err
	}
	b.say("%d keys of %d B are in memory", n, payload)

	before := answers(c)
	cursors := [4]cursor{{n: n}, {n: n}, {n: n}, {n: n}}
	rawGet := func() error {
		i := cursors[0].next()
		v, err := raw.Get(d.names[i])
		if err != nil || !d.right(i, v) {
			return wrong("freecache", d.keys[i], v)
		}
		return nil
	}
	get := func() error {
		i := cursors[1].next()
		v, err := c.Get(ctx, d.keys[i])
		if err != nil || !d.right(i, v.Bytes) {
			return wrong("tercet", d.keys[i], v.Bytes)
		}
		return nil
	}
	buf := make([]byte, 0, payload+256)
	rawInto := func() error {
		i := cursors[2].next()
		v, err := raw.GetWithBuf(d.names[i], buf)
		if err != nil || !d.right(i, v) {
			return wrong("freecache", d.keys[i], v)
		}
		return nil
	}
	into := func() error {
		i := cursors[3].next()
		v, err := c.GetInto(ctx, d.keys[i], buf)
		if err != nil || !d.right(i, v) {
			return wrong("tercet", d.keys[i], v)
		}
		return nil
	}
	what := func(call string) string { return fmt.Sprintf("%s, %d keys, %d B", call, n, payload) }
	for _, x := range []struct {
		raw, ours func() error
		row       row
		allocs    float64
	}{
		{rawGet, get, row{Name: what("Get"), Unit: nanoseconds, Target: 1.25, Aim: 1.05}, 1},
		{rawInto, into, row{Name: what("Get into a buffer"), Unit: nanoseconds, Target: 1.0, Aim: 0.85}, 0},
	} {
		p, err := b.pairing().run(ctx, reads(64, x.raw), reads(64, x.ours))
		if err != nil {
			return err
		}
		theirs, err := allocations(x.raw)
		if err != nil {
			return err
		}
		ours, err := allocations(x.ours)
		if err != nil {
			return err
		}
		b.add(x.row.of(p).allocs(theirs, ours, x.allocs))
	}
	if s := answers(c).since(before); s != (answered{}) {
		return fmt.Errorf("not all reads were answered from memory: %+v", s)
	}
	return nil
}
