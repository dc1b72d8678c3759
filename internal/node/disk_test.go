package node_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// A node that comes back replays the tail that it missed, no more, and serves
// from its disk what is alive.
func TestRestartReplaysOnlyTheTail(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		for i := range 100 {
			a.put(fmt.Sprintf("k%d", i), "v")
		}
		f.caughtUp(b)
		b.stop()
		a.invalidate(events.Scope{Keys: []string{"k1"}})
		a.put("k2", "w")
		b = f.start("b", options{fs: b.fs})
		if n := b.Stats().Applied; n > 20 {
			t.Fatalf("%d records were replayed, want the tail only", n)
		}
		b.wants("k0", "v")
		b.wants("k1", "")
		b.wants("k2", "w")
		if n := b.Stats().DiskHits; n != 2 {
			t.Fatalf("%d hits on disk, want 2", n)
		}
	})
}

// G7: after a crash, whatever of the unsynced is left, a node judges every key
// as one that never died.
func TestCrashedNodeJudgesAsOneThatNeverDied(t *testing.T) {
	for _, left := range []int{0, 30, 70, 100} {
		t.Run(fmt.Sprintf("%d%% left", left), func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				a, b := f.start("a", options{}), f.start("b", options{})
				write := func(round int) {
					for i := range 40 {
						a.put(fmt.Sprintf("p:%d", i), fmt.Sprint(round))
						if i%7 == round%7 {
							a.invalidate(events.Scope{Keys: []string{fmt.Sprintf("p:%d", (i+3)%40)}})
						}
					}
					a.invalidate(events.Scope{Globs: []string{fmt.Sprintf("p:*%d", round)}})
				}
				for round := range 6 {
					write(round)
					f.caughtUp(b)
					if round == 2 {
						b.sync()
					}
					if round%2 == 1 {
						b = f.start("b", options{fs: b.crash(left)})
					}
				}
				f.caughtUp(a)
				f.caughtUp(b)
				for i := range 40 {
					key := fmt.Sprintf("p:%d", i)
					want, _ := a.get(key, node.ReadOptions{})
					got, _ := b.get(key, node.ReadOptions{})
					if got != want {
						t.Errorf("%s: %q after crashes, %q without", key, got, want)
					}
				}
			})
		})
	}
}

// failingDisk is a disk that is gone from some moment on.
type failingDisk struct {
	node.Disk
	gone atomic.Bool
}

func (d *failingDisk) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	if d.gone.Load() {
		return tiers.Fence{}, nil, tiers.ErrUnavailable
	}
	return d.Disk.Lookup(key, dst)
}

func (d *failingDisk) Fill(partition int, e tiers.Entry, alive func(tiers.Fence) bool) error {
	if d.gone.Load() {
		return tiers.ErrUnavailable
	}
	return d.Disk.Fill(partition, e, alive)
}

func (d *failingDisk) Version(key string) (uint64, bool, error) {
	if d.gone.Load() {
		return 0, false, tiers.ErrUnavailable
	}
	return d.Disk.Version(key)
}

func (d *failingDisk) Batch(partition int) node.Batch {
	return &failingBatch{Batch: d.Disk.Batch(partition), disk: d}
}

type failingBatch struct {
	node.Batch
	disk *failingDisk
}

func (b *failingBatch) Commit() error {
	if b.disk.gone.Load() {
		return tiers.ErrUnavailable
	}
	return b.Batch.Commit()
}

func (b *failingBatch) SoftenKey(key string, p events.Position) error {
	if b.disk.gone.Load() {
		return tiers.ErrUnavailable
	}
	return b.Batch.SoftenKey(key, p)
}

var _ interface {
	Broad(int, func(coherence.BroadFence) error) error
} = (*failingDisk)(nil)

// A disk that dies takes its copies with it and nothing else: the node goes on,
// and serves no copy whose fences it can't know: none that was born before it
// began to listen.
func TestLostDiskServesNothingBornBefore(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		before, fenced, after := f.near("before"), f.near("fenced"), f.near("after")
		a.put(before, "v")
		a.put(fenced, "v")
		f.await("copies in the shared tier", func() bool { return len(f.shared.backup()) == 2 })
		backup := f.shared.backup()
		a.invalidate(events.Scope{Keys: []string{fenced}})

		var d *failingDisk
		b := f.start("b", options{wrap: func(inner node.Disk) node.Disk {
			d = &failingDisk{Disk: inner}
			return d
		}})
		f.caughtUp(b)
		b.stop()
		f.shared.restore(backup)
		b = f.start("b", options{fs: b.fs, wrap: func(inner node.Disk) node.Disk {
			d = &failingDisk{Disk: inner}
			return d
		}})
		d.gone.Store(true)
		// Both lie in the shared tier. One is dead, and the disk would know.
		b.wants(fenced, "")
		b.wants(before, "")
		if n := b.Stats().DisksLost; n != 1 {
			t.Fatalf("%d disks lost, want 1", n)
		}
		b.put(after, "v")
		b.wants(after, "v")
		a.put(after, "w")
		f.caughtUp(b)
		if v, err := b.get(after, node.ReadOptions{Load: loads("w")}); err != nil || v != "w" {
			t.Fatalf("%q, %v", v, err)
		}
		a.invalidate(events.Scope{Prefixes: []string{"p:"}})
		if err := b.Serving(); err != nil {
			t.Fatal(err)
		}
		f.pass(2 * lease)
		if err := b.Serving(); err != nil {
			t.Fatalf("a lost disk ended serving: %v", err)
		}
	})
}

// Without a disk the fences of single keys are known since the start only, so
// that older copies in the shared tier are not trusted.
func TestNodeWithoutDiskTrustsNoOlderCopy(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		a.put("k", "old")
		f.await("a copy in the shared tier", func() bool { return len(f.shared.backup()) == 1 })
		backup := f.shared.backup()
		a.invalidate(events.Scope{Keys: []string{"k"}})
		f.trim()
		f.shared.restore(backup)
		b := f.start("b", options{noDisk: true})
		b.wants("k", "")
		b.put("k", "new")
		b.wants("k", "new")
		a.invalidate(events.Scope{Keys: []string{"k"}})
		f.caughtUp(b)
		b.wants("k", "")
	})
}
