package disk

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// settle waits until pebble has all that was committed.
func settle(t *testing.T, s *Store) {
	t.Helper()
	if err := s.drained(); err != nil {
		t.Fatal(err)
	}
}

// evictRows evicts keys as the hand does, fences up to aim included.
func evictRows(t *testing.T, s *Store, aim events.Position, keys ...string) {
	t.Helper()
	settle(t, s)
	e := &evict{aim: aim, done: make(chan error, 1)}
	for _, k := range keys {
		name := append(appendName(nil, 0, kindKey), k...)
		fence, held, err := s.row(name)
		if err != nil {
			t.Fatal(err)
		}
		e.victims = append(e.victims, victim{name: name, fence: fence, row: len(appendFence(nil, name, fence)) + len(held), held: len(held)})
	}
	if err := s.submitTo(s.evictions, e); err != nil {
		t.Fatal(err)
	}
}

// What was evicted leaves its fence, or a floor that is no lower: no copy from
// before it gets in again.
func TestEvictionForgetsNoFence(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, Config{Dir: dir})
	b := s.Batch(0)
	for i := range 9 {
		b.PutEntry(tiertest.Entry(t, fmt.Sprint("k", i), events.Position(10+i), "put"))
	}
	mustCommit(t, b)
	evictRows(t, s, 15, "k2", "k8", "k5")
	for range 2 {
		want(t, s, "k8", fence(18, 18), "")    // above the aim: the fence stays
		want(t, s, "k5", fence(15, 15), "")    // at the floor
		want(t, s, "k2", fence(15, 15), "")    // below it: too high is safe
		want(t, s, "none", fence(15, 15), "")  // nobody can tell it from k2
		want(t, s, "k1", fence(11, 11), "put") // a row is exact, be it ever so old
		for key, birth := range map[string]events.Position{"k2": 14, "k5": 14, "k8": 17, "none": 14} {
			if err := s.Fill(0, tiertest.Entry(t, key, birth, "late"), nil); !errors.Is(err, tiers.ErrOutdated) {
				t.Fatalf("fill of %s from before its fence: %v", key, err)
			}
		}
		// And so after a restart.
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open1(t, Config{Dir: dir})
	}
	if err := s.Fill(0, tiertest.Entry(t, "k2", 16, "loaded"), nil); err != nil {
		t.Fatal(err)
	}
	want(t, s, "k2", fence(15, 15), "loaded") // its row says what the floor was
	b = s.Batch(0)
	if err := b.SoftenKey("none", 20); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, b)
	want(t, s, "none", fence(15, 20), "")
}

// A row that changed after the hand saw it stays.
func TestEvictionSparesWhatChanged(t *testing.T) {
	s := open1(t, Config{})
	b := s.Batch(0)
	b.PutEntry(tiertest.Entry(t, "k", 5, "old"))
	mustCommit(t, b)
	settle(t, s)
	name := append(appendName(nil, 0, kindKey), "k"...)
	old, held, err := s.row(name)
	if err != nil {
		t.Fatal(err)
	}
	b.PutEntry(tiertest.Entry(t, "k", 6, "new"))
	mustCommit(t, b)
	settle(t, s)
	e := &evict{aim: 9, victims: []victim{{name: name, fence: old, held: len(held)}}, done: make(chan error, 1)}
	if err := s.submitTo(s.evictions, e); err != nil {
		t.Fatal(err)
	}
	want(t, s, "k", fence(6, 6), "new")
	want(t, s, "none", fence(0, 0), "")
}

func TestForget(t *testing.T) {
	s := open1(t, Config{Partitions: 2, Partition: func(k string) int { return int(k[0] - '0') }})
	b := s.Batch(0)
	b.FenceKey("0:old", 3)
	b.FenceKey("0:new", 9)
	mustCommit(t, b)
	b.Forget(5)
	mustCommit(t, b)
	b.Forget(4) // never lowers
	mustCommit(t, b)
	settle(t, s)
	want(t, s, "0:none", fence(5, 5), "")
	want(t, s, "0:new", fence(9, 9), "")
	want(t, s, "1:none", fence(0, 0), "") // another partition's positions are others
	// The positions of a new history are lower.
	b.DropValues()
	b.FenceKey("0:k", 2)
	mustCommit(t, b)
	settle(t, s)
	want(t, s, "0:none", fence(0, 0), "")
	want(t, s, "0:k", fence(2, 2), "")
	if f, err := readFloors(s.db, 2); err != nil || f.of(0) != 0 {
		t.Fatalf("floor on disk %d, %v", f.of(0), err)
	}
}

// A floor that can't be read may have been any.
func TestCorruptFloor(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, Config{Dir: dir})
	if err := s.db.Set(appendName(nil, 0, kindFloor), []byte("rubbish"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open1(t, Config{Dir: dir})
	if o := s.Opened(); !o.Fresh || !errors.Is(o.Cause, ErrCorruptRow) {
		t.Fatalf("opened %+v, want a fresh store", o)
	}
}
