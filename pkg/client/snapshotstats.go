package client

import (
	"context"
	"sync"
	"time"
)

// SnapshotStats says what became of this member's snapshots.
type SnapshotStats struct {
	// Made and Failed count calls of [Client.CreateSnapshot], Bytes what the made
	// ones take in the store, Took the time that they took.
	Made, Failed, Bytes uint64
	Took                time.Duration
	// LastBytes and LastTook are of the last one made.
	LastBytes uint64
	LastTook  time.Duration
	// Newest is when the newest full snapshot was made that this member knows of,
	// whoever made it; zero: it knows of none.
	Newest time.Time
}

// SnapshotStats returns what has become of this member's snapshots so far. It
// asks no store: what others made it knows from [Client.Snapshots].
func (c *Client) SnapshotStats() SnapshotStats {
	c.imaged.mu.Lock()
	defer c.imaged.mu.Unlock()
	return c.imaged.stats
}

// Snapshots lists the domain's snapshots, newest first, and those that can't be
// read. It fails with [ErrNoSnapshots], or as the store does.
func (c *Client) Snapshots(ctx context.Context) ([]Snapshot, []SnapshotRefusal, error) {
	if c.catalogue == nil {
		return nil, nil, ErrNoSnapshots
	}
	all, refused, err := c.catalogue.List(ctx)
	c.imaged.noticed(all...)
	return all, refused, err
}

// imaged counts snapshots.
type imaged struct {
	mu    sync.Mutex
	stats SnapshotStats
}

// noticed takes in snapshots that exist.
func (i *imaged) noticed(all ...Snapshot) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, m := range all {
		if m.Kind == SnapshotFull && m.Created.After(i.stats.Newest) {
			i.stats.Newest = m.Created
		}
	}
}

// made takes in how a creation ended that took so long.
func (i *imaged) made(m Snapshot, err error, took time.Duration) {
	if err == nil {
		i.noticed(m)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	s := &i.stats
	if err != nil {
		s.Failed++
		return
	}
	s.Made++
	s.Took += took
	s.Bytes += uint64(m.Size)
	s.LastTook, s.LastBytes = took, uint64(m.Size)
}
