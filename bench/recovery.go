package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

const (
	// recoveryPayload is the size of the values that nodes begin with.
	recoveryPayload = 200
	// recoveryRounds is fewer than other rows have: a round lasts seconds.
	recoveryRounds = 5
	// restartWithin and beginWithin are what is promised.
	restartWithin = 2 * time.Second
	beginWithin   = 10 * time.Second
)

// keys is the greatest of the sizes asked for.
func (c *config) keys() (most int) {
	for _, n := range c.sizes {
		most = max(most, n)
	}
	return most
}

// stocked is a node with many keys that was stopped cleanly, which parts begin
// with copies of.
type stocked struct {
	b *bench
	d *data
	// dir is the disk tier's directory as the node left it.
	dir, domain string
}

// stock returns a stocked node, the one that an earlier part made if nothing has
// been written to its domain.
func (b *bench) stock(ctx context.Context) (*stocked, error) {
	if b.stocked != nil {
		return b.stocked, nil
	}
	s := &stocked{b: b, d: newData(b.keys(), recoveryPayload), dir: b.servers.TempDir(), domain: fmt.Sprintf("bench-recovery-%d", len(b.out.Rows))}
	c, err := b.open(ctx, s.domain, client.Config{DataDir: s.dir})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(fillMany(ctx, c, s.d), shut(c)); err != nil {
		return nil, err
	}
	b.say("%d keys of %d B are on disk", len(s.d.keys), s.d.payload)
	b.stocked = s
	return s, nil
}

// fillMany is fill by batches, for many keys.
func fillMany(ctx context.Context, c *client.Client, d *data) error {
	const batch = 1000
	for at := 0; at < len(d.keys); at += batch {
		names := make([]string, 0, batch)
		rows := make(map[string]client.Loaded, batch)
		for _, i := range d.filling[at:min(at+batch, len(d.keys))] {
			names = append(names, d.keys[i])
			rows[d.keys[i]] = client.Loaded{Value: d.value(i), TTL: 12 * time.Hour}
		}
		if _, err := c.GetOrLoadMany(ctx, names, func(context.Context, []string) (map[string]client.Loaded, error) {
			return rows, nil
		}); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}

// copied gives f a copy of the directory, which goes afterwards.
func (s *stocked) copied(f func(dir string) error) error {
	var files owner
	defer files.release()
	dir := files.TempDir()
	if err := cloneStore(s.dir, dir); err != nil {
		return err
	}
	return f(dir)
}

// open opens a node on a directory.
func (s *stocked) open(ctx context.Context, dir string, store client.SnapshotStore) (*client.Client, error) {
	return s.b.open(ctx, s.domain, client.Config{DataDir: dir, Snapshots: store})
}

// runRestart measures how long a cleanly stopped node takes until it serves
// again, beside the opening of a plain pebble database with the same files.
// Every round begins with the files as the node left them.
func runRestart(ctx context.Context, b *bench) error {
	s, err := b.stock(ctx)
	if err != nil {
		return err
	}
	again := func(open func(dir string) (time.Duration, error)) side {
		return func(time.Duration) (figure float64, err error) {
			err = s.copied(func(dir string) error {
				took, err := open(dir)
				figure = float64(took)
				return err
			})
			return figure, err
		}
	}
	rounds := pairing{rounds: min(recoveryRounds, b.rounds)}
	p, err := rounds.run(ctx, again(func(dir string) (time.Duration, error) {
		began := time.Now()
		db, err := openPebble(filepath.Join(dir, "pebble-1"))
		took := time.Since(began)
		if err != nil {
			return took, err
		}
		return took, db.Close()
	}), again(func(dir string) (time.Duration, error) {
		began := time.Now()
		c, err := s.open(ctx, dir, nil)
		took := time.Since(began)
		if err != nil {
			return took, err
		}
		return took, errors.Join(look(ctx, c, s.d, nil), shut(c))
	}))
	if err != nil {
		return err
	}
	most := float64(restartWithin)
	b.add(row{Name: fmt.Sprintf("restart until ready, %d keys, %d B", len(s.d.keys), s.d.payload), Unit: nanoseconds, Most: &most}.of(p))
	return nil
}

// cloneStore copies a disk tier's directory. Tables are never written again, so
// that a link does for them.
func cloneStore(from, to string) error {
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch target := filepath.Join(to, name); {
		case e.IsDir():
			return os.MkdirAll(target, 0o755)
		case strings.HasSuffix(name, ".sst"):
			return os.Link(path, target)
		default:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, content, 0o644)
		}
	})
}

// looked is how many keys are read to see that a node has what it should.
const looked = 20_000

// look reads keys from all over, of which those that are fenced must have no
// value, and all others theirs.
func look(ctx context.Context, c *client.Client, d *data, fenced map[int]bool) error {
	for i := 0; i < len(d.keys); i += max(1, len(d.keys)/looked) {
		v, err := c.Get(ctx, d.keys[i])
		switch {
		case fenced[i]:
			if !errors.Is(err, client.ErrNotFound) {
				return fmt.Errorf("key %q is there after its fence: %v", d.keys[i], err)
			}
		case err != nil || !d.right(i, v.Bytes):
			return errors.Join(err, wrong("tercet", d.keys[i], v.Bytes))
		}
	}
	return nil
}

// runBeginning measures how long a node with nothing takes until it serves with
// what a snapshot and the log's tail hold.
func runBeginning(ctx context.Context, b *bench) error {
	s, err := b.stock(ctx)
	if err != nil {
		return err
	}
	var files owner
	defer files.release()
	directory, err := client.SnapshotDirectory(files.TempDir())
	if err != nil {
		return err
	}
	store := &timedStore{SnapshotStore: directory}
	if err := s.copied(func(dir string) error {
		c, err := s.b.open(ctx, s.domain, client.Config{DataDir: dir, Snapshots: store, SnapshotRate: -1})
		if err != nil {
			return err
		}
		began := time.Now()
		m, err := c.CreateSnapshot(ctx, client.SnapshotFull, nil)
		b.say("a snapshot of %d copies, %d MiB, made in %v", m.Copies, m.Size>>20, time.Since(began).Round(time.Millisecond))
		return errors.Join(err, shut(c))
	}); err != nil {
		return err
	}
	js, undo, err := connect(b.natsURL())
	if err != nil {
		return err
	}
	defer undo()
	b.stocked = nil // what follows is in its log for ever
	tail := replayLog{b: b, js: js, d: s.d, domain: s.domain}
	if err := tail.write(ctx, b.tail); err != nil {
		return err
	}
	fenced := tail.fenced(b.tail)

	var whole, fetch, put, rest []float64
	for range min(recoveryRounds, b.rounds) {
		dir := files.TempDir()
		store.spent.Store(0)
		began := time.Now()
		c, err := s.open(ctx, dir, store)
		took := time.Since(began)
		if err != nil {
			return err
		}
		how := c.Beginning()
		if how.Snapshot == nil {
			err = fmt.Errorf("the node began without the snapshot: %v", how.Refused)
		} else {
			err = look(ctx, c, s.d, fenced)
		}
		if err := errors.Join(err, shut(c), os.RemoveAll(dir)); err != nil {
			return err
		}
		read := time.Duration(store.spent.Load())
		whole, fetch, put, rest = append(whole, float64(took)), append(fetch, float64(read)),
			append(put, float64(how.Took-read)), append(rest, float64(took-how.Took))
	}
	most := float64(beginWithin)
	b.add(row{Name: fmt.Sprintf("from nothing until ready, %d keys, %d B, tail of %d", len(s.d.keys), s.d.payload, b.tail),
		Unit: nanoseconds, Ours: quantile(whole, 0.5), Most: &most})
	b.add(row{Name: "of it: fetching the snapshot", Unit: nanoseconds, Ours: quantile(fetch, 0.5)})
	b.add(row{Name: "of it: checking it and writing it to disk", Unit: nanoseconds, Ours: quantile(put, 0.5)})
	b.add(row{Name: "of it: the tail and the first pulse", Unit: nanoseconds, Ours: quantile(rest, 0.5)})
	return nil
}

// timedStore counts the time that reading objects takes.
type timedStore struct {
	client.SnapshotStore
	spent atomic.Int64
}

func (s *timedStore) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	defer s.since(time.Now())
	r, err := s.SnapshotStore.Get(ctx, name)
	return timedObject{r, s}, err
}

func (s *timedStore) since(began time.Time) { s.spent.Add(int64(time.Since(began))) }

type timedObject struct {
	io.ReadCloser
	s *timedStore
}

func (o timedObject) Read(p []byte) (int, error) {
	defer o.s.since(time.Now())
	return o.ReadCloser.Read(p)
}
