package disk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// static is what nothing makes smaller.
var static = func() string {
	b := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // it never fails
	return string(b)
}()

// noise returns n bytes of it.
func noise(random *rand.Rand, n int) string {
	at := random.IntN(len(static) - n)
	return static[at : at+n]
}

// awaitMerged returns once pebble has nothing more to merge.
func awaitMerged(t *testing.T, s *Store) {
	t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); ; {
		m := s.db.Metrics()
		if m.Flush.NumInProgress == 0 && m.Compact.NumInProgress == 0 && m.Levels[0].Sublevels < 2 {
			return
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("pebble still merges after a minute:\n%v", m)
		}
	}
}

// Where pebble does not come to merging, what is stored leaves the room that it
// will need: twice what waits, for what it makes of that lies beside it. All keys
// are asked for, so that nothing but the want of room keeps values out.
func TestMergesFindRoom(t *testing.T) {
	const budget, keys, puts = 16 << 20, 20_000, 40_000
	fs := newTallyFS()
	s := open1(t, Config{FS: fs, Budget: budget})
	release := fs.hold()
	defer release()
	random := rand.New(rand.NewPCG(1, 2))
	b := s.Batch(0)
	for p := events.Position(1); p <= puts; p++ {
		key := fmt.Sprint("key:", random.IntN(keys))
		s.heat.add(key)
		b.PutEntry(tiertest.Entry(t, key, p, noise(random, 1000)))
		if p%64 == 0 {
			mustCommit(t, b)
		}
	}
	mustCommit(t, b)
	settle(t, s)
	if n := fs.peak(); n < budget/4 {
		t.Errorf("no more than %d bytes were written to a budget of %d", n, budget)
	}
	release()
	awaitMerged(t, s)
	if n, most := fs.peak(), s.meter.share(fullMark); n > most {
		t.Errorf("%d bytes on disk while what had waited was merged, of a budget of %d at most %d", n, budget, most)
	}
	if n := s.Stats().Unkept; n == 0 || n == puts {
		t.Errorf("%d of %d values were left out", n, puts)
	}
}

// The values of one commit are together no more than there is room for.
func TestOneCommitFindsRoom(t *testing.T) {
	const budget, puts = leastBudget, 100
	fs := newTallyFS()
	s := open1(t, Config{FS: fs, Budget: budget})
	random := rand.New(rand.NewPCG(1, 2))
	b := s.Batch(0)
	for p := events.Position(1); p <= puts; p++ {
		key := fmt.Sprint("key:", p)
		s.heat.add(key)
		b.PutEntry(tiertest.Entry(t, key, p, noise(random, 100_000)))
	}
	mustCommit(t, b)
	settle(t, s)
	awaitMerged(t, s)
	if n := fs.peak(); n > budget {
		t.Errorf("%d bytes on disk, the budget is %d", n, budget)
	}
	if n := s.Stats().Unkept; n == 0 || n == puts {
		t.Errorf("%d of %d values were left out", n, puts)
	}
}

// What was evicted goes by a stretch at a time: no merge that the hand asks for
// takes more room than it may.
func TestReliefTakesLittleRoom(t *testing.T) {
	const budget = 16 << 20
	fs := newTallyFS()
	s := open1(t, Config{FS: fs, Budget: budget})
	s.stop() // the hand that the store has
	<-s.swept
	s.life = context.Background()
	random := rand.New(rand.NewPCG(1, 2))
	var keys []string
	b := s.Batch(0)
	for full := false; !full; {
		key := fmt.Sprintf("key:%07d", len(keys))
		keys = append(keys, key)
		s.heat.add(key)
		b.PutEntry(tiertest.Entry(t, key, events.Position(len(keys)), noise(random, 1000)))
		if len(keys)%64 == 0 {
			mustCommit(t, b)
			settle(t, s)
			full = tables(s.db.Metrics()) > s.meter.share(highMark+0.02)
			awaitMerged(t, s)
		}
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff, 0xff, 0xff}, false); err != nil {
		t.Fatal(err)
	}
	for half := range slices.Chunk(keys, 1024) {
		evictRows(t, s, 0, half[:len(half)/2]...)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	awaitMerged(t, s)
	before, held := s.meter.measure(s), fs.now
	fs.peak()
	h := newHand(s)
	merges, left := 0, int64(0)
	for s.meter.leaving.Load() != left {
		left = s.meter.leaving.Load()
		if err := h.relieve(); err != nil {
			t.Fatal(err)
		}
		merges++
		if n := fs.peak() - held; n > mergeRoom(budget) {
			t.Fatalf("merge %d of what was evicted takes %d bytes more, it may take %d", merges, n, mergeRoom(budget))
		}
	}
	if after := s.meter.measure(s); merges < 2 || tables(after) >= tables(before) {
		t.Errorf("%d merges made %d bytes of %d", merges, tables(after), tables(before))
	}
}

func tables(m *pebble.Metrics) int64 {
	total := m.Total()
	return total.TablesSize
}
