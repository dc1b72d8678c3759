package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/pkg/client"
)

// runL3 measures a read that the disk answers, because memory is too small to
// hold what is read, beside pebble's Get with the same options.
func runL3(ctx context.Context, b *bench) error {
	for _, x := range []struct {
		payload int
		target  float64
	}{{100, 1.45}, {1024, 1.7}} {
		for _, n := range b.sizes {
			if err := b.l3(ctx, n, x.payload, x.target); err != nil {
				return err
			}
		}
	}
	return nil
}

// blocks is what both stores keep of their files in memory: pkg/client's
// default.
const blocks = 32 << 20

const (
	// bystanders are keys beside the measured ones that lie in both stores.
	// Between slices they are read until they have taken all room in memory,
	// or what one slice moved there would be hits in memory in a later one.
	bystanders = 5_000
	// displacing is how many reads of them it takes.
	displacing = 16_000
)

// memoryFor is a memory of which a few thousand entries take all: an entry may
// take a 1024th of it.
func memoryFor(payload int) int64 {
	return int64(max(memory.MinBytes, 2048*payload))
}

func (b *bench) l3(ctx context.Context, n, payload int, target float64) error {
	var files owner
	defer files.release()
	d := newData(n+bystanders, payload)
	rawDir, dir := files.TempDir(), files.TempDir()
	raw, err := openPebble(rawDir)
	if err != nil {
		return err
	}
	for _, i := range d.filling {
		if err := raw.Set(d.names[i], d.value(i), pebble.NoSync); err != nil {
			return errors.Join(err, raw.Close())
		}
	}
	if err := raw.Close(); err != nil {
		return err
	}
	domain := fmt.Sprintf("bench-l3-%d-%d", n, payload)
	cfg := client.Config{L1Size: memoryFor(payload), DataDir: dir, DiskCache: blocks}
	c, err := b.open(ctx, domain, cfg)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(ctx, c, d), shut(c)); err != nil {
		return err
	}
	// Both in the shape that a store comes to rest in: how much of each lies
	// in a memtable by chance would weigh more than what is measured.
	if err := errors.Join(compact(ctx, rawDir), compact(ctx, filepath.Join(dir, "pebble-1"))); err != nil {
		return err
	}
	if raw, err = openPebble(rawDir); err != nil {
		return err
	}
	defer raw.Close()
	if c, err = b.open(ctx, domain, cfg); err != nil {
		return err
	}
	defer shut(c)
	b.say("%d keys of %d B are on disk", n, payload)

	rawAt, at := cursor{n: n}, cursor{n: n}
	rawBuf := make([]byte, 0, payload)
	rawGet := func() error {
		i := rawAt.next()
		v, closer, err := raw.Get(d.names[i])
		if err != nil {
			return err
		}
		// Both hand the value out, in the caller's memory.
		rawBuf = append(rawBuf[:0], v...)
		if err := closer.Close(); err != nil || !d.right(i, rawBuf) {
			return errors.Join(err, wrong("pebble", d.keys[i], rawBuf))
		}
		return nil
	}
	buf := make([]byte, 0, payload+256)
	asked := uint64(0)
	into := func() error {
		i := at.next()
		v, err := c.GetInto(ctx, d.keys[i], buf)
		if err != nil || !d.right(i, v) {
			return errors.Join(err, wrong("tercet", d.keys[i], v))
		}
		asked++
		return nil
	}
	onDisk := uint64(0)
	slice := reads(16, into)
	by := cursor{n: bystanders}
	p, err := b.pairing().run(ctx, reads(16, rawGet), func(length time.Duration) (float64, error) {
		for range displacing {
			if _, err := c.GetInto(ctx, d.keys[n+by.next()], buf); err != nil {
				return 0, err
			}
		}
		before := answers(c)
		figure, err := slice(length)
		onDisk += answers(c).since(before).disk
		return figure, err
	})
	if err != nil {
		return err
	}
	if onDisk < asked-asked/50 {
		return fmt.Errorf("of %d reads the disk answered %d", asked, onDisk)
	}
	b.add(row{
		Name: fmt.Sprintf("Get into a buffer, %d keys, %d B", n, payload), Unit: nanoseconds, Target: target, Aim: 1.3,
	}.of(p))
	return nil
}

// compact merges all that a database holds into its lowest level.
func compact(ctx context.Context, dir string) error {
	db, err := openPebble(dir)
	if err != nil {
		return err
	}
	return errors.Join(db.Compact(ctx, []byte{0}, []byte{0xff, 0xff, 0xff}, false), db.Close())
}

// openPebble opens a database with the options of the disk tier.
func openPebble(dir string) (*pebble.DB, error) {
	o := &pebble.Options{
		CacheSize:                   blocks,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       1000,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		Logger:                      quietLogger{},
	}
	o.Experimental.ReadSamplingMultiplier = -1
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return pebble.Open(dir, o)
}

type quietLogger struct{}

func (quietLogger) Infof(string, ...any)      {}
func (quietLogger) Errorf(string, ...any)     {}
func (quietLogger) Fatalf(f string, a ...any) { panic(fmt.Errorf(f, a...)) }
