package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/node/ondisk"
)

// renewable starts a node whose disk can be lost, by the returned disk, and that
// gets another while there is one to be had.
func (f *fleet) renewable(name string) (m *member, lose func(), allow *atomic.Bool) {
	allow = new(atomic.Bool)
	var first *failingDisk
	made := 0
	m = f.start(name, options{
		wrap: func(inner node.Disk) node.Disk {
			first = &failingDisk{Disk: inner}
			return first
		},
		deps: func(d *node.Deps) {
			d.NewDisk = func(context.Context) (node.Disk, error) {
				if !allow.Load() {
					return nil, errors.New("no space left on device")
				}
				made++
				return ondisk.Disk{Store: f.freshDisk(fmt.Sprint("l3-", made))}, nil
			}
		},
	})
	return m, func() { first.gone.Store(true) }, allow
}

// A disk that was lost comes back by itself: filled from the log, it judges
// every key as the disk of a node that never lost one, and holds its values.
func TestLostDiskComesBack(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{})
		b, lose, allow := f.renewable("b")
		keys := make([]string, 30)
		for i := range keys {
			keys[i] = fmt.Sprintf("p:%d", i)
			a.put(keys[i], "old")
		}
		f.await("copies in the shared tier", func() bool { return len(f.shared.backup()) == len(keys) })
		backup := f.shared.backup()
		for i, k := range keys {
			if i%3 == 0 {
				a.invalidate(events.Scope{Keys: []string{k}})
			}
		}
		f.caughtUp(b)

		lose()
		_, _ = b.get("x", node.ReadOptions{}) // notices
		b.put("while", "blind")
		f.pass(3 * lease)
		if err := b.Serving(); err != nil || b.Stats().DisksRenewed != 0 {
			t.Fatalf("%v, %d disks", err, b.Stats().DisksRenewed)
		}
		allow.Store(true)
		for i, k := range keys {
			if i%3 == 1 {
				a.invalidate(events.Scope{Keys: []string{k}})
			}
		}
		f.await("the disk to be back", func() bool { return b.Stats().DisksRenewed == 1 })
		f.caughtUp(b)
		a.invalidate(events.Scope{Prefixes: []string{"q:"}})

		f.shared.restore(backup) // every dead copy lies there again
		b.memory.Reset(0)
		before := b.Stats().DiskHits
		for i, k := range keys {
			if i%3 == 2 {
				b.wants(k, "old")
			} else {
				b.wants(k, "")
			}
		}
		b.wants("while", "blind")
		if n := b.Stats().DiskHits - before; n != 11 {
			t.Fatalf("%d hits on the new disk, want 11", n)
		}
		a.put(keys[2], "new")
		f.caughtUp(b)
		b.wants(keys[2], "new")
	})
}

// Where the log has forgotten its beginning, or has a hole, a new disk can't learn
// what was fenced there: copies from before count as dead.
func TestNewDiskDoesNotTrustWhatTheLogForgot(t *testing.T) {
	for name, forget := range map[string]func(f *fleet, fence consistency.Token){
		"beginning": func(f *fleet, _ consistency.Token) { f.trim() },
		"hole":      func(f *fleet, fence consistency.Token) { f.lose(fence) },
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.shared = newSharedTier()
				a := f.start("a", options{})
				b, lose, allow := f.renewable("b")
				a.put("k", "old")
				f.await("a copy in the shared tier", func() bool { return len(f.shared.backup()) == 1 })
				backup := f.shared.backup()
				fence := a.invalidate(events.Scope{Keys: []string{"k"}})
				f.caughtUp(b)
				forget(f, fence)
				lose()
				allow.Store(true)
				_, _ = b.get("k", node.ReadOptions{})
				f.await("the disk to be back", func() bool { return b.Stats().DisksRenewed == 1 })
				f.shared.restore(backup)
				b.wants("k", "")
				b.put("k", "new")
				b.wants("k", "new")
			})
		})
	}
}

// A disk that is lost while it is filled is followed by another, and a log that
// begins anew meanwhile by another attempt.
func TestDiskIsLostAgainAndAgain(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		var disks []*failingDisk
		b := f.start("b", options{
			wrap: func(inner node.Disk) node.Disk {
				disks = append(disks, &failingDisk{Disk: inner})
				return disks[0]
			},
			deps: func(d *node.Deps) {
				d.NewDisk = func(context.Context) (node.Disk, error) {
					x := &failingDisk{Disk: ondisk.Disk{Store: f.freshDisk(fmt.Sprint("l3-", len(disks)))}}
					x.gone.Store(len(disks) < 3)
					disks = append(disks, x)
					return x, nil
				}
			},
		})
		for i := range 10 {
			a.put(fmt.Sprint("k", i), "v")
		}
		f.caughtUp(b)
		disks[0].gone.Store(true)
		f.await("the third disk to last", func() bool { return b.Stats().DisksRenewed == 1 && len(disks) == 4 })
		f.caughtUp(b)
		for i := range 10 {
			b.wants(fmt.Sprint("k", i), "v")
		}
		disks[3].gone.Store(true)
		f.await("yet another disk", func() bool { return b.Stats().DisksRenewed == 2 })
	})
}
