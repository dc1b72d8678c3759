package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, abandoned()...)
}

func mustCommit(t testing.TB, b *Batch) {
	t.Helper()
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, s *Store, key string, f tiers.Fence, payload string) {
	t.Helper()
	found, err := s.Lookup(key, nil)
	if err != nil {
		t.Fatalf("lookup %q: %v", key, err)
	}
	got := ""
	if found.Entry != nil {
		got = string(found.Entry.Payload())
	}
	if found.Fence != f || got != payload {
		t.Fatalf("lookup %q: fence %v, payload %q, want %v, %q", key, found.Fence, got, f, payload)
	}
}

func fence(hard, soft events.Position) tiers.Fence { return tiers.Fence{Hard: hard, Soft: soft} }

func TestFencesAndValues(t *testing.T) {
	s := open1(t, Config{})
	b := s.Batch(0)
	want(t, s, "k", fence(0, 0), "")
	if err := s.Fill(0, tiertest.Entry(t, "k", 3, "loaded"), nil); err != nil {
		t.Fatal(err)
	}
	want(t, s, "k", fence(0, 0), "loaded")

	b.FenceKey("k", 5)
	want(t, s, "k", fence(0, 0), "loaded") // not before the commit
	mustCommit(t, b)
	want(t, s, "k", fence(5, 5), "")
	if err := s.Fill(0, tiertest.Entry(t, "k", 4, "late"), nil); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("late fill: %v, want ErrOutdated", err)
	}
	want(t, s, "k", fence(5, 5), "")
	if err := s.Fill(0, tiertest.Entry(t, "k", 5, "again"), nil); err != nil {
		t.Fatal(err)
	}
	want(t, s, "k", fence(5, 5), "again")

	b.PutEntry(tiertest.Entry(t, "k", 9, "put"))
	mustCommit(t, b)
	want(t, s, "k", fence(9, 9), "put")

	if err := b.SoftenKey("k", 12); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, b)
	want(t, s, "k", fence(9, 12), "put")
	if err := s.Fill(0, tiertest.Entry(t, "k", 11, "late"), func(f tiers.Fence) bool { return f.Soft <= 11 }); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("fill from before the soft fence: %v, want ErrOutdated", err)
	}
	if err := s.Fill(0, tiertest.Entry(t, "k", 12, "fresh"), nil); err != nil {
		t.Fatal(err)
	}
	want(t, s, "k", fence(9, 12), "fresh")

	if err := s.Remove(0, "k", "none"); err != nil {
		t.Fatal(err)
	}
	want(t, s, "k", fence(9, 12), "")
	b.FencePut("k", 20)
	mustCommit(t, b)
	want(t, s, "k", fence(20, 20), "")
	if err := b.Commit(); err != nil {
		t.Fatalf("commit of nothing: %v", err)
	}
}

// A soft fence reads what the same batch wrote before it.
func TestSoftenSeesItsOwnBatch(t *testing.T) {
	s := open1(t, Config{})
	b := s.Batch(0)
	soften := func(key string, p events.Position) {
		t.Helper()
		if err := b.SoftenKey(key, p); err != nil {
			t.Fatal(err)
		}
	}
	b.PutEntry(tiertest.Entry(t, "dropped", 1, "v"))
	b.PutEntry(tiertest.Entry(t, "kept", 1, "v"))
	mustCommit(t, b)

	b.PutEntry(tiertest.Entry(t, "a", 3, "a"))
	b.FenceKey("b", 4)
	soften("a", 5)
	soften("b", 5)
	soften("kept", 5)
	soften("new", 5)
	b.PutEntry(tiertest.Entry(t, "c", 6, "c")) // behind the first soft fence
	soften("c", 7)
	b.FenceKey("a", 8)
	soften("a", 9)
	mustCommit(t, b)
	want(t, s, "a", fence(8, 9), "")
	want(t, s, "b", fence(4, 5), "")
	want(t, s, "c", fence(6, 7), "c")
	want(t, s, "kept", fence(1, 5), "v")
	want(t, s, "new", fence(0, 5), "")

	b.PutEntry(tiertest.Entry(t, "early", 10, "v"))
	b.DropValues()
	b.PutEntry(tiertest.Entry(t, "late", 11, "v"))
	soften("dropped", 12)
	soften("early", 12)
	soften("late", 12)
	mustCommit(t, b)
	want(t, s, "dropped", fence(0, 12), "")
	want(t, s, "early", fence(0, 12), "")
	want(t, s, "late", fence(11, 12), "v")
	want(t, s, "kept", fence(0, 0), "")
	soften("kept", 13) // the next batch reads the store again
	mustCommit(t, b)
	want(t, s, "kept", fence(0, 13), "")
}

func TestPartitionsAreApart(t *testing.T) {
	parts := func(key string) int { return int(key[0] - '0') }
	s := open1(t, Config{Partitions: 2, Partition: parts})
	for p := range 2 {
		b := s.Batch(p)
		b.PutEntry(tiertest.Entry(t, fmt.Sprint(p, "k"), 1, "v"))
		b.SetVersion(fmt.Sprint(p, "k"), 1<<63+uint64(p))
		b.FenceBroad('t', "tag", fence(2, 3))
		b.FenceBroad('p', "tag", fence(4, 4))
		b.FenceBroad('a', "", fence(1, 1))
		b.SetMeta("checkpoint", []byte(fmt.Sprint("state of ", p)))
		mustCommit(t, b)
	}
	broad := func(p int) []string {
		var out []string
		if err := s.Broad(p, func(kind byte, name string, f tiers.Fence) error {
			out = append(out, fmt.Sprintf("%c %s %d %d", kind, name, f.Hard, f.Soft))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := []string{"a  1 1", "p tag 4 4", "t tag 2 3"}
	if got := broad(0); !slices.Equal(got, all) {
		t.Fatalf("broad fences %q, want %q", got, all)
	}
	b := s.Batch(0)
	b.DropValues()
	b.FenceBroad('a', "", fence(9, 9))
	mustCommit(t, b)
	want(t, s, "0k", fence(0, 0), "")
	want(t, s, "1k", fence(1, 1), "v")
	if _, ok, err := s.Version("0k"); ok || err != nil {
		t.Fatalf("version survived: %v", err)
	}
	if v, ok, err := s.Version("1k"); !ok || err != nil || v != 1<<63+1 {
		t.Fatalf("version of the other partition: %d, %v, %v", v, ok, err)
	}
	if got := broad(0); !slices.Equal(got, []string{"a  9 9"}) {
		t.Fatalf("broad fences after DropValues: %q", got)
	}
	if got := broad(1); !slices.Equal(got, all) {
		t.Fatalf("broad fences of the other partition: %q", got)
	}
	for p := range 2 {
		if m, err := s.Meta(p, "checkpoint"); err != nil || string(m) != fmt.Sprint("state of ", p) {
			t.Fatalf("meta %q, %v", m, err)
		}
	}
	if m, err := s.Meta(0, "none"); m != nil || err != nil {
		t.Fatalf("unknown meta: %q, %v", m, err)
	}
	b.DropBroad('a', "")
	mustCommit(t, b)
	if got := broad(0); got != nil {
		t.Fatalf("broad fences after DropBroad: %q", got)
	}
	stop := errors.New("stop")
	if err := s.Broad(1, func(byte, string, tiers.Fence) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("broad: %v, want the callback's error", err)
	}
}

func TestReopen(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	s := open1(t, Config{Dir: dir})
	if !s.Opened().Fresh {
		t.Fatal("a new directory is not fresh")
	}
	b := s.Batch(0)
	b.PutEntry(tiertest.Entry(t, "k", 1, "v"))
	b.SetMeta("m", []byte("state"))
	mustCommit(t, b)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Fatalf("open twice: %v, want ErrLocked", err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup("k", nil); !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("lookup after close: %v, want ErrUnavailable", err)
	}
	if err := s.Fill(0, tiertest.Entry(t, "k", 1, "v"), nil); !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("fill after close: %v, want ErrUnavailable", err)
	}
	b.FenceKey("k", 2)
	if err := b.Commit(); !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("commit after close: %v, want ErrUnavailable", err)
	}
	s = open1(t, Config{Dir: dir})
	if o := s.Opened(); o.Fresh || o.SetAside != "" {
		t.Fatalf("opened %+v", o)
	}
	want(t, s, "k", fence(1, 1), "v")
	if m, err := s.Meta(0, "m"); err != nil || string(m) != "state" {
		t.Fatalf("meta %q, %v", m, err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatalf("close twice: %v", err)
	}
	goleak.VerifyNone(t, before)
}

func TestScan(t *testing.T) {
	clock := &tiertest.Clock{}
	clock.Advance(time.Hour)
	s := open1(t, Config{Now: clock.Milli})
	b := s.Batch(0)
	var wanted []string
	for i := range 100 {
		key := fmt.Sprintf("k%03d", i)
		switch i % 4 {
		case 0:
			b.FenceKey(key, 1)
		case 1:
			b.PutEntry(tiertest.Make(t, tiers.Header{Key: key, Expiry: clock.Now()}, nil))
		default:
			b.PutEntry(tiertest.Entry(t, key, 1, "v"))
			wanted = append(wanted, key)
		}
	}
	mustCommit(t, b)
	plant(t, s, "k002x", append(rowOf(t, s, "k002x", fence(1, 1), nil), "rubbish"...))
	plant(t, s, "k002y", []byte("rubbish"))
	var got []string
	steps := 0
	for from := ""; ; steps++ {
		next, err := s.Scan(0, from, 7, func(e tiers.Entry) bool {
			got = append(got, strings.Clone(e.Key()))
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if from = next; from == "" {
			break
		}
	}
	if !slices.Equal(got, wanted) {
		t.Fatalf("scanned %q, want %q", got, wanted)
	}
	if steps < 5 {
		t.Fatalf("%d steps of 7 for %d keys", steps, len(wanted))
	}
	next, err := s.Scan(0, "", 7, func(tiers.Entry) bool { return false })
	if err != nil || next != "k002x" {
		t.Fatalf("stopped scan goes on from %q, %v, want the row behind k002", next, err)
	}
}

func TestCorruptRows(t *testing.T) {
	s := open1(t, Config{})
	good := tiertest.Entry(t, "k", 6, "v")
	row, fenceLen := rowOf(t, s, "k", fence(5, 6), good), len(rowOf(t, s, "k", fence(5, 6), nil))
	for at := range row {
		bad := slices.Clone(row)
		bad[at] ^= 0x10
		plant(t, s, "k", bad)
		before := s.Stats().CorruptRows
		found, err := s.Lookup("k", nil)
		if s.Stats().CorruptRows != before+1 {
			t.Fatalf("byte %d: not counted", at)
		}
		if at < fenceLen {
			if !errors.Is(err, ErrCorruptRow) || found.Entry != nil {
				t.Fatalf("byte %d: %+v, %v, want ErrCorruptRow", at, found, err)
			}
			if err := s.Fill(0, good, nil); !errors.Is(err, ErrCorruptRow) {
				t.Fatalf("byte %d: fill under an unknown fence: %v, want ErrCorruptRow", at, err)
			}
			continue
		}
		if err != nil || found.Entry != nil || found.Fence != fence(5, 6) {
			t.Fatalf("byte %d: %+v, %v, want the fence alone", at, found, err)
		}
	}
	// Under another key it tells nothing.
	plant(t, s, "other", row)
	if found, err := s.Lookup("other", nil); !errors.Is(err, ErrCorruptRow) || found.Entry != nil {
		t.Fatalf("the row of another key: %+v, %v, want ErrCorruptRow", found, err)
	}
	// Unreadable, then softened: hard is the safe answer.
	plant(t, s, "k", []byte("rubbish"))
	b := s.Batch(0)
	if err := b.SoftenKey("k", 9); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, b)
	want(t, s, "k", fence(9, 9), "")
}

// Row 30: whatever the interleaving of fills and batches, no copy from before
// a fence is left behind it.
func TestFillAndBatchExcludeEachOther(t *testing.T) {
	s := open1(t, Config{})
	b := s.Batch(0)
	for round := range 3000 {
		key := fmt.Sprint("k", round%16)
		birth := events.Position(2*round + 1)
		e := tiertest.Entry(t, key, birth, "v")
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Fill(0, e, nil) })
		b.FenceKey(key, birth+1)
		mustCommit(t, b)
		wg.Wait()
		want(t, s, key, fence(birth+1, birth+1), "")
	}
}

func TestTooLargeForTheDisk(t *testing.T) {
	s := open1(t, Config{MaxEntry: 100})
	b := s.Batch(0)
	b.PutEntry(tiertest.Entry(t, "k", 1, "v"))
	b.PutEntry(tiertest.Entry(t, "k", 2, strings.Repeat("x", 200)))
	mustCommit(t, b)
	want(t, s, "k", fence(2, 2), "")
}

// Copies that are stored together are judged one by one: what is refused does
// not keep the others out, and of two copies of a key the newer one stays.
func TestFillAll(t *testing.T) {
	s := open1(t, Config{MaxEntry: 200})
	b := s.Batch(0)
	b.FenceKey("fenced", 5)
	b.PutEntry(tiertest.Entry(t, "held", 9, "newer"))
	mustCommit(t, b)
	es := []tiers.Entry{
		tiertest.Entry(t, "fenced", 4, "late"),
		tiertest.Entry(t, "held", 8, "older"),
		tiertest.Entry(t, "doomed", 3, "dead"),
		tiertest.Entry(t, "large", 3, strings.Repeat("x", 200)),
		tiertest.Entry(t, "plain", 3, "kept"),
		tiertest.Entry(t, "twice", 4, "newer"),
		tiertest.Entry(t, "twice", 3, "older"),
		tiertest.Entry(t, "risen", 3, "older"),
		tiertest.Entry(t, "risen", 4, "newer"),
	}
	alive := func(e tiers.Entry, _ tiers.Fence) bool { return e.Key() != "doomed" }
	if err := s.FillAll(0, es, alive); err != nil {
		t.Fatal(err)
	}
	want(t, s, "fenced", fence(5, 5), "")
	want(t, s, "held", fence(9, 9), "newer")
	want(t, s, "doomed", fence(0, 0), "")
	want(t, s, "large", fence(0, 0), "")
	want(t, s, "plain", fence(0, 0), "kept")
	want(t, s, "twice", fence(0, 0), "newer")
	want(t, s, "risen", fence(0, 0), "newer")
	if got := s.Stats(); got.Fills != 4 || got.Outdated != 3 || got.TooLarge != 1 {
		t.Errorf("stats %+v, want 4 fills, 3 outdated, 1 too large", got)
	}
}
