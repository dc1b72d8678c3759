package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

// beginning is the snapshot that a replay begins with.
type beginning struct {
	snapshot.Manifest
	catalogue *snapshot.Catalogue
	c         *config.Config
}

// withSnapshot gives f the snapshot that --from-snapshot means, nil without one,
// and the ranges as they are behind it.
func (r *replayer) withSnapshot(ctx context.Context, c *config.Config, o *origin, ranges []replay.Range, f func(*beginning, []replay.Range) error) error {
	if r.snapshot == "" {
		return f(nil, ranges)
	}
	if err := c.Need(snapshotNeeds...); err != nil {
		return err
	}
	return r.app.withCatalogue(ctx, c, func(cat *snapshot.Catalogue) error {
		m, err := r.choose(ctx, cat, o, ranges)
		if err != nil {
			return err
		}
		behind := make([]replay.Range, len(ranges))
		for i, x := range ranges {
			x.First = m.Partitions[x.Partition].Mark.Position + 1
			behind[i] = x
		}
		fmt.Fprintf(r.app.err, "beginning with snapshot %s of %s\n", m.ID, m.Created.Local().Format(time.DateTime))
		return f(&beginning{m, cat, c}, behind)
	})
}

// choose returns the snapshot that is named, or the newest of use that is not
// behind the place that is.
func (r *replayer) choose(ctx context.Context, cat *snapshot.Catalogue, o *origin, ranges []replay.Range) (snapshot.Manifest, error) {
	none := func(refused []error) error {
		return errors.Join(append([]error{fmt.Errorf("%w that is of use for --from-snapshot %s", snapshot.ErrNotFound, r.snapshot)}, refused...)...)
	}
	if m, err := cat.Get(ctx, r.snapshot); err == nil {
		if err := r.usable(ctx, m, o, ranges); err != nil {
			return m, none([]error{&snapshot.Refusal{ID: m.ID, Err: err}})
		}
		return m, nil
	} else if !errors.Is(err, snapshot.ErrForeign) {
		return m, err // it names one
	}
	until := replay.Last()
	if r.snapshot != "newest" {
		var err error
		if until, err = parsePlace("from-snapshot", r.snapshot); err != nil {
			return snapshot.Manifest{}, err
		}
		if _, ok := until.Position(); ok && o.settings.Partitions > 1 {
			return snapshot.Manifest{}, usagef("a position is one partition's, and the domain has %d: name a time or a snapshot", o.settings.Partitions)
		}
	}
	limits := make([]replay.Range, len(ranges))
	for i, x := range ranges {
		upTo, err := replay.Resolve(ctx, x.Partition, o.sources[x.Partition], replay.First(), until)
		if err != nil {
			return snapshot.Manifest{}, err
		}
		x.Last = min(x.Last, upTo.Last)
		limits[i] = x
	}
	all, unread, err := cat.List(ctx)
	if err != nil {
		return snapshot.Manifest{}, err
	}
	var refused []error
	for _, x := range unread {
		refused = append(refused, x)
	}
	for _, m := range all {
		err := r.usable(ctx, m, o, limits)
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		refused = append(refused, &snapshot.Refusal{ID: m.ID, Err: err})
	}
	return snapshot.Manifest{}, none(refused)
}

// errBehind reports a snapshot of later than what is asked for.
var errBehind = errors.New("snapshot is of later")

// usable says why a replay can't begin with a snapshot.
func (r *replayer) usable(ctx context.Context, m snapshot.Manifest, o *origin, ranges []replay.Range) error {
	if len(m.Partitions) != o.settings.Partitions {
		return fmt.Errorf("%w: it has %d partitions, the domain %d", snapshot.ErrForeign, len(m.Partitions), o.settings.Partitions)
	}
	for _, x := range ranges {
		place := m.Partitions[x.Partition]
		if place.Mark.Position > x.Last {
			return fmt.Errorf("%w: at %d of partition %d, wanted is %d at most", errBehind, place.Mark.Position, x.Partition, x.Last)
		}
		// By what the log said up to there: an epoch that ended later was one then.
		if err := snapshot.Prove(ctx, o.log.Log(x.Partition), x.Last, place); err != nil {
			return fmt.Errorf("partition %d: %w", x.Partition, err)
		}
	}
	return nil
}

// fill adds the rows of the snapshot, with values as a node has them in memory.
// One that does not open, because its key is not at hand, is left out.
func (b *beginning) fill(ctx context.Context) (func(add func(int, disk.Row) error) error, error) {
	packer, err := link.Packer(b.c)
	if err != nil {
		return nil, err
	}
	return func(add func(int, disk.Row) error) error {
		return b.catalogue.Read(ctx, b.Manifest, func(r snapshot.Row) error {
			row := disk.Row{Kind: disk.RowKind(r.Kind), Name: r.Name, Fence: r.Fence, Held: r.Held}
			if e, err := tiers.Parse(r.Held); err == nil && r.Kind == snapshot.Key {
				row.Held, _ = packer.Open(e) // nil: only the fence is known
			}
			return add(r.Partition, row)
		})
	}, nil
}
