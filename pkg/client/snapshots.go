package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/directory"
	"github.com/raptorflow/tercet/internal/snapshot/objectstore"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

// SnapshotStore is where snapshots lie; see [SnapshotDirectory] and
// [SnapshotBucket].
type SnapshotStore = snapshot.Store

// SnapshotDirectory returns a store of snapshots in a directory, which several
// processes may share.
func SnapshotDirectory(path string) (SnapshotStore, error) { return directory.New(path) }

// SnapshotBucket returns a store of snapshots in a bucket of JetStream's object
// store, which must exist (`nats object add`).
func SnapshotBucket(ctx context.Context, nc *nats.Conn, bucket string) (SnapshotStore, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return objectstore.Open(ctx, js, bucket)
}

// Snapshot describes one.
type Snapshot = snapshot.Manifest

// SnapshotKind says what a snapshot holds.
type SnapshotKind = snapshot.Kind

const (
	// SnapshotFull has all that this member's disk tier has.
	SnapshotFull = snapshot.Full
	// SnapshotFences has what judges copies, and no copies: small, for members
	// that keep nothing on disk.
	SnapshotFences = snapshot.Fences
)

// ErrNoSnapshots reports a client that was opened without [Config].Snapshots.
var ErrNoSnapshots = errors.New("no store of snapshots is configured")

// Catalogue returns the domain's snapshots; nil without [Config].Snapshots.
func (c *Client) Catalogue() *snapshot.Catalogue { return c.catalogue }

func (c *Client) buildCatalogue() (err error) {
	if c.cfg.Snapshots == nil {
		return nil
	}
	c.catalogue, err = snapshot.NewCatalogue(c.cfg.Snapshots, snapshot.Config{
		Domain: c.cfg.Domain, Keys: c.cfg.SealKeys.ring, BytesPerSecond: max(c.cfg.SnapshotRate, 0),
	})
	return err
}

// CreateSnapshot writes an image of this member as it is at one place of each
// log, while it serves and applies on. With a base, only what differs from that
// snapshot is written. One image at a time is made; others wait.
//
// The rows are read at [Config].SnapshotRate, and values that were born behind
// the image's place, as copies from members further on are, are left out.
func (c *Client) CreateSnapshot(ctx context.Context, kind SnapshotKind, base *Snapshot) (Snapshot, error) {
	if c.catalogue == nil {
		return Snapshot{}, ErrNoSnapshots
	}
	select {
	case c.imaging <- struct{}{}:
		defer func() { <-c.imaging }()
	case <-ctx.Done():
		return Snapshot{}, ctx.Err()
	}
	began := time.Now()
	m, err := c.image(ctx, kind, base)
	c.imaged.made(m, err, time.Since(began))
	return m, err
}

func (c *Client) image(ctx context.Context, kind SnapshotKind, base *Snapshot) (Snapshot, error) {
	store := c.l3.now()
	if store == nil {
		return Snapshot{}, fmt.Errorf("make a snapshot: there is no disk tier at the moment: %w", tiers.ErrUnavailable)
	}
	image, err := store.Image()
	if err != nil {
		return Snapshot{}, err
	}
	m, err := c.writeImage(ctx, image, snapshot.Draft{Node: c.cfg.NodeID, Kind: kind, Base: base})
	return m, errors.Join(err, image.Close())
}

func (c *Client) writeImage(ctx context.Context, image *disk.Image, d snapshot.Draft) (Snapshot, error) {
	n := c.domain.Settings().Partitions
	for p := range n {
		checkpoint, err := image.Meta(p, node.CheckpointName)
		if err != nil {
			return Snapshot{}, err
		}
		place, err := placeIn(checkpoint)
		if err != nil {
			return Snapshot{}, fmt.Errorf("partition %d: %w", p, err)
		}
		place.Floor = image.Floor(p)
		d.Partitions = append(d.Partitions, place)
	}
	return c.catalogue.Create(ctx, d, func(add func(snapshot.Row) error) error {
		for p := range n {
			if err := image.Rows(p, d.Partitions[p].Mark.Position, func(r disk.Row) error {
				return add(snapshot.Row{Partition: p, Kind: snapshot.RowKind(r.Kind), Name: r.Name, Fence: r.Fence, Held: r.Held})
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// The kinds of rows have the same numbers in both places.
var (
	_ = [1]struct{}{}[byte(snapshot.Broad)-byte(disk.BroadRow)]
	_ = [1]struct{}{}[byte(snapshot.Key)-byte(disk.KeyRow)]
	_ = [1]struct{}{}[byte(snapshot.RowVersion)-byte(disk.VersionRow)]
	_ = [1]struct{}{}[byte(snapshot.Floor)-byte(disk.FloorRow)]
	_ = [1]struct{}{}[byte(snapshot.State)-byte(disk.MetaRow)]
)

// placeIn reads where a checkpoint stands; no checkpoint stands nowhere.
func placeIn(checkpoint []byte) (snapshot.Place, error) {
	if checkpoint == nil {
		return snapshot.Place{}, fmt.Errorf("%w: nothing has been applied", node.ErrNoPlace)
	}
	p, err := node.PlaceOf(checkpoint)
	return snapshot.Place{
		Epoch: p.Epoch, Mark: p.Mark, Digest: p.Digest, Horizon: p.Horizon, Members: p.Members, Brackets: p.Brackets,
	}, err
}
