package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// snapshotWindow is how long hits are measured in one go: long enough that some
// blocks of a snapshot are gathered at its pace.
const snapshotWindow = 100 * time.Millisecond

// popular is how many of the keys are read: memory has room to spare for them.
const popular = 50_000

// runSnapshot measures hits in memory in windows in which a full snapshot of the
// node is being made, at the default rate, beside windows in which it waits.
func runSnapshot(ctx context.Context, b *bench) error {
	s, err := b.stock(ctx)
	if err != nil {
		return err
	}
	return s.copied(func(dir string) error { return s.snapshot(ctx, dir) })
}

func (s *stocked) snapshot(ctx context.Context, dir string) error {
	var files owner
	defer files.release()
	directory, err := client.SnapshotDirectory(files.TempDir())
	if err != nil {
		return err
	}
	store := &gatedStore{SnapshotStore: directory}
	store.shut()
	c, err := s.b.open(ctx, s.domain, client.Config{DataDir: dir, Snapshots: store, L1Size: 256 << 20})
	if err != nil {
		return err
	}
	defer shut(c)
	d := s.d
	at, buf := cursor{n: min(popular, len(d.keys))}, make([]byte, 0, recoveryPayload+256)
	asked := uint64(0)
	hit := timed(func() error {
		i := at.next()
		asked++
		v, err := c.GetInto(ctx, d.keys[i], buf)
		if err != nil || !d.right(i, v) {
			return errors.Join(err, wrong("tercet", d.keys[i], v))
		}
		return nil
	})
	if err := warm(c, func() error { _, err := hit(); return err }, at.n); err != nil {
		return err
	}
	before := answers(c)
	making, stop := context.WithCancel(ctx)
	var maker sync.WaitGroup
	made, failed := 0, error(nil)
	maker.Go(func() {
		for made = 0; failed == nil; made++ {
			var m client.Snapshot
			store.wait(making)
			if m, failed = c.CreateSnapshot(making, client.SnapshotFull, nil); failed == nil {
				failed = c.Catalogue().Remove(making, m.ID)
			}
		}
	})
	rounds := pairing{rounds: s.b.rounds, slice: snapshotWindow}
	for _, x := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		ours := percentiles(x.q, hit)
		p, err := rounds.run(ctx, percentiles(x.q, hit), func(length time.Duration) (float64, error) {
			store.open()
			defer store.shut()
			return ours(length)
		})
		if err != nil {
			stop()
			maker.Wait()
			return err
		}
		s.b.add(row{Name: fmt.Sprintf("hit while a snapshot is made, %s, %d keys, %d B", x.name, len(d.keys), d.payload), Unit: nanoseconds, Target: 1.2}.of(p))
	}
	stop()
	maker.Wait()
	if !errors.Is(failed, context.Canceled) {
		return failed
	}
	if made == 0 {
		return errors.New("no snapshot came to its end")
	}
	if n := answers(c).since(before).disk; n > asked/50 {
		return fmt.Errorf("the disk answered %d of %d reads", n, asked)
	}
	s.b.say("%d snapshots were made", made)
	return nil
}

// warm reads n keys until memory has all but one in a hundred.
func warm(c *client.Client, read func() error, n int) error {
	for range 100 {
		before := answers(c).disk
		for range n {
			if err := read(); err != nil {
				return err
			}
		}
		if answers(c).disk-before <= uint64(n/100) {
			return nil
		}
	}
	return fmt.Errorf("memory does not keep %d keys", n)
}

// gatedStore takes objects only while its gate is open, so that a snapshot is
// made in some windows and waits in others.
type gatedStore struct {
	client.SnapshotStore
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
}

func (s *gatedStore) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.opened)
}

func (s *gatedStore) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = make(chan struct{})
}

// wait returns once the gate is open or ctx done.
func (s *gatedStore) wait(ctx context.Context) {
	s.mu.Lock()
	opened := s.opened
	s.mu.Unlock()
	select {
	case <-opened:
	case <-ctx.Done():
	}
}

func (s *gatedStore) Put(ctx context.Context, name string, r io.Reader) error {
	return s.SnapshotStore.Put(ctx, name, gatedReader{ctx, r, s})
}

type gatedReader struct {
	ctx context.Context
	r   io.Reader
	s   *gatedStore
}

func (g gatedReader) Read(p []byte) (int, error) {
	g.s.wait(g.ctx)
	return g.r.Read(p)
}
