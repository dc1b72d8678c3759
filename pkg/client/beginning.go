package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

// Beginning says what a member began with.
type Beginning struct {
	// Snapshot is the image that took the place of what the disk tier held; nil:
	// none did.
	Snapshot *Snapshot
	// Took is how long that took.
	Took time.Duration
	// Refused are the snapshots that were not used, newest first, and why.
	Refused []SnapshotRefusal
}

// SnapshotRefusal says of one snapshot why it was not used.
type SnapshotRefusal = *snapshot.Refusal

// Beginning returns what this member began with.
func (c *Client) Beginning() Beginning { return c.began }

// beginWithin bounds how long the start goes on without what a store of
// snapshots does not give.
const beginWithin = 10 * time.Minute

// begin puts the newest snapshot of use in the place of what the disk tier
// holds, if that is the quicker way to where the logs are. Where a store fails or
// there is none of use the member begins as it would have without.
func (c *Client) begin(ctx context.Context) error {
	if c.catalogue == nil || c.l3.now() == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, beginWithin)
	defer cancel()
	all, refused, err := c.Snapshots(limited)
	if err != nil {
		c.cfg.Logger.Warn("snapshots can't be listed; the node begins without", "domain", c.cfg.Domain, "error", err)
		return nil
	}
	c.began.Refused = refused
	if len(all) == 0 {
		return nil
	}
	lasts, err := c.lasts(limited)
	var own snapshot.Own
	if err == nil {
		own, err = c.own(limited, lasts)
	}
	if err != nil {
		c.cfg.Logger.Warn("snapshots can't be compared with the log; the node begins without", "domain", c.cfg.Domain, "error", err)
		return ctx.Err()
	}
	for _, m := range byUse(all, c.cfg.DataDir == "") {
		began := time.Now()
		err := c.use(limited, m, own, lasts)
		if c.l3.now() == nil {
			return err // the disk tier could not be opened again
		}
		if err == nil {
			c.began.Snapshot, c.began.Took = &m, time.Since(began)
			c.cfg.Logger.Info("began with a snapshot", "domain", c.cfg.Domain, "snapshot", m.ID, "kind", m.Kind, "rows", m.Rows, "copies", m.Copies, "took", c.began.Took)
			return nil
		}
		c.began.Refused = append(c.began.Refused, &snapshot.Refusal{ID: m.ID, Err: err})
		c.cfg.Logger.Info("a snapshot is not used", "domain", c.cfg.Domain, "snapshot", m.ID, "reason", err)
		if errors.Is(err, snapshot.ErrSlower) || errors.Is(err, snapshot.ErrEvidence) {
			return nil // the older ones are no better
		}
		if limited.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// byUse returns the snapshots in the order in which they should be tried: who
// keeps copies in memory only has little use of other members'.
func byUse(all []Snapshot, fences bool) []Snapshot {
	var first, then []Snapshot
	for _, m := range all {
		if (m.Kind == SnapshotFences) == fences {
			first = append(first, m)
		} else {
			then = append(then, m)
		}
	}
	return append(first, then...)
}

// lasts returns where the logs end.
func (c *Client) lasts(ctx context.Context) (lasts []events.Position, err error) {
	for p := range c.domain.Settings().Partitions {
		m, err := c.domain.Last(ctx, p)
		if err != nil {
			return nil, err
		}
		lasts = append(lasts, m.Position)
	}
	return lasts, nil
}

// own says what this member has without a snapshot.
func (c *Client) own(ctx context.Context, lasts []events.Position) (own snapshot.Own, err error) {
	known := false
	for p, last := range lasts {
		checkpoint, err := c.l3.now().Meta(p, node.CheckpointName)
		if err != nil && !errors.Is(err, disk.ErrCorruptRow) {
			return own, err
		}
		place, err := placeIn(checkpoint)
		var proof error
		switch {
		case checkpoint == nil, errors.Is(err, coherence.ErrState):
			proof = snapshot.ErrNotFound
		case err != nil:
			proof = err // it knows something, and can't prove it
		default:
			proof = snapshot.Prove(ctx, c.domain.Log(p), last, place)
		}
		if ctx.Err() != nil {
			return own, ctx.Err()
		}
		known = known || !errors.Is(proof, snapshot.ErrNotFound)
		if worse(proof, own.Proof) {
			own.Proof = proof
		}
		behind := place.Mark.Position
		if proof != nil {
			behind = 0
		}
		own.Tail += uint64(last - behind)
	}
	return own, nil
}

// worse reports whether a forbids more than b: what may be evidence more than
// what is of no use, and that more than what is.
func worse(a, b error) bool {
	rank := func(err error) int {
		switch {
		case err == nil:
			return 0
		case errors.Is(err, snapshot.ErrNotFound), errors.Is(err, snapshot.ErrTrimmed), errors.Is(err, snapshot.ErrOldEpoch):
			return 1
		}
		return 2
	}
	return rank(a) > rank(b)
}

// use makes m what the disk tier holds, or says why not.
func (c *Client) use(ctx context.Context, m Snapshot, own snapshot.Own, lasts []events.Position) error {
	if len(m.Partitions) != len(lasts) {
		return fmt.Errorf("%w: it has %d partitions, the domain %d", snapshot.ErrForeign, len(m.Partitions), len(lasts))
	}
	tail := uint64(0)
	for p, place := range m.Partitions {
		if err := snapshot.Prove(ctx, c.domain.Log(p), lasts[p], place); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		tail += uint64(lasts[p] - place.Mark.Position)
	}
	if err := snapshot.Worth(m, own, tail); err != nil {
		return err
	}
	restored, err := c.l3.restore(func(cfg disk.Config) error {
		return disk.Restore(cfg, func(add func(int, disk.Row) error) error {
			return c.catalogue.Read(ctx, m, func(r snapshot.Row) error {
				return add(r.Partition, disk.Row{Kind: disk.RowKind(r.Kind), Name: r.Name, Fence: r.Fence, Held: r.Held})
			})
		})
	})
	if err != nil {
		return err
	}
	return restored
}
