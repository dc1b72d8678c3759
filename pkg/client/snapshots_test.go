package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/pkg/client"
)

// snapshots returns a store of the fleet's own.
func (f *fleet) snapshots() client.SnapshotStore {
	f.t.Helper()
	s, err := client.SnapshotDirectory(filepath.Join(f.dir, "snapshots"))
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func with(s client.SnapshotStore) func(*client.Config) {
	return func(c *client.Config) { c.Snapshots, c.SnapshotRate = s, -1 }
}

func snap(t *testing.T, c *client.Client, kind client.SnapshotKind, base *client.Snapshot) client.Snapshot {
	t.Helper()
	m, err := c.CreateSnapshot(t.Context(), kind, base)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// G6: a node that has nothing begins with a snapshot and the log's tail: what died
// since is dead, what lives is there without a load.
func TestNodeBeginsWithASnapshot(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		store := f.snapshots()
		a := f.open("a", with(store))
		ctx := t.Context()
		key := func(i int) string { return fmt.Sprintf("item:%d:v", i) }
		o := &origin{}
		loader := o.load("tag:all")
		for i := range 60 {
			var err error
			if i%2 == 0 {
				_, err = a.Set(ctx, key(i), []byte("v0"))
			} else {
				_, err = a.GetOrLoad(ctx, key(i), loader)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		full := snap(t, a, client.SnapshotFull, nil)
		if full.Copies != 60 {
			t.Errorf("the snapshot has %d copies, want 60", full.Copies)
		}
		o.n.Store(1)
		for i := range 10 {
			if _, err := a.Invalidate(ctx, client.Invalidation{Keys: []string{key(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Set(ctx, key(10), []byte("v1")); err != nil {
			t.Fatal(err)
		}
		loads := o.loads.Load()
		b := f.open("b", with(store), func(c *client.Config) { c.RedisURL, c.Replication = "", -1 })
		began := b.Beginning()
		if began.Snapshot == nil || began.Snapshot.ID != full.ID {
			t.Fatalf("b began with %v, refused %v", began.Snapshot, began.Refused)
		}
		for i := range 60 {
			v, err := b.GetOrLoad(ctx, key(i), loader)
			want := "v0"
			if i <= 10 {
				want = "v1"
			}
			if err != nil || string(v.Bytes) != want {
				t.Errorf("%s: read %q, %v, want %s", key(i), v.Bytes, err, want)
			}
		}
		if n := o.loads.Load() - loads; n != 10 {
			t.Errorf("%d loads, want 10: of what was invalidated", n)
		}
		// A second start has a disk that is as far, and needs none.
		if err := b.Close(ctx); err != nil {
			t.Fatal(err)
		}
		b = f.open("b", with(store))
		if began := b.Beginning(); began.Snapshot != nil || len(began.Refused) != 1 || !errors.Is(began.Refused[0], snapshot.ErrSlower) {
			t.Errorf("b began with %v again, refused %v", began.Snapshot, began.Refused)
		}
	})
}

// Snapshots that are of no use are refused with the reason, and the next older
// one is tried.
func TestRefusedSnapshotsAreTold(t *testing.T) {
	f := newFleet(t)
	store := f.snapshots()
	a := f.open("a", with(store))
	if _, err := a.Set(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	good := snap(t, a, client.SnapshotFull, nil)
	torn := snap(t, a, client.SnapshotFull, nil)
	damaged := snap(t, a, client.SnapshotFull, nil)
	dir := filepath.Join(f.dir, "snapshots", "shop")
	if err := os.Truncate(filepath.Join(dir, torn.ID+".data"), torn.Size-5); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, damaged.ID+".data"))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(filepath.Join(dir, damaged.ID+".data"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	b := f.open("b", with(store))
	began := b.Beginning()
	if began.Snapshot == nil || began.Snapshot.ID != good.ID {
		t.Fatalf("b began with %v, refused %v", began.Snapshot, began.Refused)
	}
	for i, want := range []error{snapshot.ErrCorrupt, snapshot.ErrTorn} {
		if i >= len(began.Refused) || !errors.Is(began.Refused[i], want) {
			t.Fatalf("refused %v, want %v as number %d", began.Refused, want, i)
		}
	}
	if got := get(t, b, "k"); got != "v" {
		t.Errorf("read %q, want v", got)
	}
}

// openEpoch says in the log that its history has changed.
func (f *fleet) openEpoch() {
	f.t.Helper()
	nc, err := nats.Connect(f.nats.URL())
	if err != nil {
		f.t.Fatal(err)
	}
	defer nc.Close()
	d, err := jslog.Open(f.t.Context(), nc, "shop")
	if err != nil {
		f.t.Fatal(err)
	}
	defer d.Close()
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{&events.EpochChange{Epoch: 7, Why: "a test"}}})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := d.Log(0).Publish(f.t.Context(), events.ID{Publisher: events.Incarnation{1}, Counter: 1}, data); err != nil {
		f.t.Fatal(err)
	}
}

// G6, G8: after the history of the log has changed, a snapshot from before is of
// no use, and says so.
func TestSnapshotOfAnOldEpoch(t *testing.T) {
	f := newFleet(t)
	store := f.snapshots()
	a := f.open("a", with(store))
	if _, err := a.Set(t.Context(), "k", []byte("old")); err != nil {
		t.Fatal(err)
	}
	snap(t, a, client.SnapshotFull, nil)
	f.openEpoch()
	b := f.open("b", with(store))
	began := b.Beginning()
	if began.Snapshot != nil || len(began.Refused) != 1 || !errors.Is(began.Refused[0], snapshot.ErrOldEpoch) {
		t.Fatalf("b began with %v, refused %v", began.Snapshot, began.Refused)
	}
	if got := get(t, b, "k"); got != "" {
		t.Errorf("read %q of the epoch that is over", got)
	}
}

// A member without a disk begins with fences alone: they are as good as its own
// knowledge, so that what lies in Redis is judged by them.
func TestFencesAloneJudgeWhatRedisHolds(t *testing.T) {
	f := newFleet(t)
	store := f.snapshots()
	a := f.open("a", with(store))
	ctx := t.Context()
	for i := range 50 {
		if _, err := a.Set(ctx, fmt.Sprint("k", i), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	m := snap(t, a, client.SnapshotFences, nil)
	if m.Copies != 0 || m.Rows < 50 {
		t.Errorf("a snapshot of fences has %d copies in %d rows", m.Copies, m.Rows)
	}
	b := f.open("b", with(store), func(c *client.Config) { c.DataDir, c.Replication = "", -1 })
	if began := b.Beginning(); began.Snapshot == nil || began.Snapshot.ID != m.ID {
		t.Fatalf("b began with %v, refused %v", began.Snapshot, began.Refused)
	}
	if got := get(t, b, "k7"); got != "v" && got != "" {
		t.Errorf("read %q", got)
	}
	if _, err := a.Invalidate(ctx, client.Invalidation{Keys: []string{"k7"}}, client.Everywhere()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, b, "k7"); got != "" {
		t.Errorf("read %q, which is dead", got)
	}
}

// G6 under traffic: snapshots of every age, full ones and increments, begin nodes
// in a fleet that sets, loads, and invalidates by key, tag and prefix; no read is
// older than what was written everywhere before it began.
func TestSnapshotsOfEveryAgeUnderTraffic(t *testing.T) {
	f := newFleet(t)
	f.partitions = 3
	store := f.snapshots()
	a := f.open("a", with(store))
	const keys = 40
	key := func(i int) string { return fmt.Sprintf("item:%d:v", i) }
	// rows are what the origin has, written what is everywhere.
	var rows, written [keys]atomic.Int64
	load := func(_ context.Context, k string) (client.Loaded, error) {
		var i int
		if _, err := fmt.Sscanf(k, "item:%d:v", &i); err != nil {
			return client.Loaded{}, err
		}
		return client.Loaded{Value: fmt.Append(nil, rows[i].Load()), Tags: []string{fmt.Sprint("group:", i%5)}, TTL: time.Hour}, nil
	}
	version := func(c *client.Client, i int) int64 {
		t.Helper()
		v, err := c.GetOrLoad(t.Context(), key(i), load)
		if err != nil {
			t.Fatal(err)
		}
		got := int64(0)
		if _, err := fmt.Sscan(string(v.Bytes), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	writers.Go(func() {
		for v := int64(1); ctx.Err() == nil; v++ {
			i := int(v*7) % keys
			rows[i].Store(v)
			var err error
			switch v % 4 {
			case 0:
				_, err = a.Set(ctx, key(i), fmt.Append(nil, v), client.Everywhere())
			case 1:
				_, err = a.Invalidate(ctx, client.Invalidation{Keys: []string{key(i)}}, client.Everywhere())
			case 2:
				_, err = a.Invalidate(ctx, client.Invalidation{Keys: []string{key(i)}, Tags: []string{fmt.Sprint("group:", i%5)}}, client.Everywhere())
			case 3:
				_, err = a.Invalidate(ctx, client.Invalidation{Prefixes: []string{fmt.Sprintf("item:%d:", i)}}, client.Everywhere())
			}
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			written[i].Store(v)
		}
	})
	var base *client.Snapshot
	for age := range 6 {
		for i := range keys {
			version(a, i)
		}
		m := snap(t, a, client.SnapshotFull, base)
		if base = &m; age == 3 {
			base = nil // a new chain
		}
	}
	catalogue := a.Catalogue()
	all, refused, err := catalogue.List(t.Context())
	if err != nil || len(refused) > 0 || len(all) != 6 {
		t.Fatalf("%d snapshots, refused %v, %v", len(all), refused, err)
	}
	for n, m := range all {
		if n > 0 { // the newer ones are gone
			only := filepath.Join(f.dir, fmt.Sprint("only-", n))
			if err := os.CopyFS(only, os.DirFS(filepath.Join(f.dir, "snapshots"))); err != nil {
				t.Fatal(err)
			}
			for _, newer := range all[:n] {
				if err := os.Remove(filepath.Join(only, "shop", newer.ID+".manifest")); err != nil {
					t.Fatal(err)
				}
			}
			if store, err = client.SnapshotDirectory(only); err != nil {
				t.Fatal(err)
			}
		}
		b := f.open(fmt.Sprint("b", n), with(store))
		if began := b.Beginning(); began.Snapshot == nil || began.Snapshot.ID != m.ID {
			t.Fatalf("began with %v, want %s; refused %v", began.Snapshot, m.ID, began.Refused)
		}
		for range 3 {
			for i := range keys {
				least := written[i].Load()
				if got := version(b, i); got < least {
					t.Fatalf("snapshot %d: %s: read version %d after %d was everywhere", n, key(i), got, least)
				}
			}
		}
		closing, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := b.Close(closing); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}
