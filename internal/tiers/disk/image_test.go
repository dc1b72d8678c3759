package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// copyOf restores cfg's directory from an image of s.
func copyOf(t testing.TB, s *Store, cfg Config) error {
	t.Helper()
	i, err := s.Image()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}()
	return Restore(cfg, func(add func(int, Row) error) error {
		for p := range s.cfg.Partitions {
			if err := i.Rows(p, 0, func(r Row) error { return add(p, r) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestRestore gives a second directory all that an image holds, in the place of
// what was there: fences, values, row versions, broad fences, the floor, meta.
func TestRestore(t *testing.T) {
	for name, cfg := range map[string]Config{"directory": {Dir: t.TempDir()}, "memory": Config{}.InMemory()} {
		t.Run(name, func(t *testing.T) {
			s := open1(t, Config{Dir: t.TempDir()})
			b := s.Batch(0)
			b.PutEntry(tiertest.Entry(t, "put", 9, "value"))
			b.SetVersion("put", 4)
			b.FenceKey("forgotten", 10)
			b.FenceKey("fenced", 20)
			b.FenceBroad(2, "tag", fence(11, 12))
			b.SetMeta("world", []byte("state"))
			mustCommit(t, b)
			evictRows(t, s, 10, "forgotten")

			other, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			b = other.Batch(0)
			b.PutEntry(tiertest.Entry(t, "other", 50, "value"))
			mustCommit(t, b)
			if err := Restore(cfg, nil); !errors.Is(err, ErrLocked) {
				t.Errorf("restore of a directory in use: %v, want ErrLocked", err)
			}
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			if err := copyOf(t, s, cfg); err != nil {
				t.Fatal(err)
			}
			r := open1(t, cfg)
			if r.Opened().Fresh {
				t.Error("opened afresh")
			}
			want(t, r, "put", fence(9, 9), "value")
			want(t, r, "fenced", fence(20, 20), "")
			want(t, r, "forgotten", fence(10, 10), "") // by the floor
			want(t, r, "other", fence(10, 10), "")
			if v, ok, err := r.Version("put"); v != 4 || !ok || err != nil {
				t.Errorf("row version %d, %v, %v, want 4", v, ok, err)
			}
			if m, err := r.Meta(0, "world"); string(m) != "state" || err != nil {
				t.Errorf("meta %q, %v, want state", m, err)
			}
			n := 0
			if err := r.Broad(0, func(kind byte, name string, f tiers.Fence) error {
				n++
				if kind != 2 || name != "tag" || f != fence(11, 12) {
					t.Errorf("broad fence %d %q %v", kind, name, f)
				}
				return nil
			}); err != nil || n != 1 {
				t.Errorf("%d broad fences, %v, want one", n, err)
			}
			if cfg.Dir != "memory" {
				if left := glob(t, cfg.Dir, "*"); len(left) != 2 { // LOCK and the generation
					t.Errorf("left in the directory: %v", left)
				}
			}
		})
	}
}

// A restoration that fails leaves what was there.
func TestRestoreFails(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := open1(t, cfg)
	b := s.Batch(0)
	b.FenceKey("k", 7)
	mustCommit(t, b)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := errors.New("damaged")
	err := Restore(cfg, func(add func(int, Row) error) error {
		return errors.Join(add(0, Row{Kind: KeyRow, Name: "new"}), damaged)
	})
	if !errors.Is(err, damaged) {
		t.Fatalf("restore: %v, want what fill returned", err)
	}
	s = open1(t, cfg)
	want(t, s, "k", fence(7, 7), "")
}

// Values beyond what the budget keeps are left out, fences never.
func TestRestoreWithinBudget(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Budget: leastBudget}
	const n = 200
	value := strings.Repeat("v", 100<<10)
	if err := Restore(cfg, func(add func(int, Row) error) error {
		for k := range n {
			e := tiertest.Entry(t, fmt.Sprintf("%04d", k), events.Position(k+1), value)
			if err := add(0, Row{Kind: KeyRow, Name: e.Key(), Fence: fence(1, 1), Held: e}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s := open1(t, cfg)
	values := 0
	for k := range n {
		f, err := s.Lookup(fmt.Sprintf("%04d", k), nil)
		if err != nil || f.Fence != fence(1, 1) {
			t.Fatalf("key %d: %v, %v, want its fence", k, f.Fence, err)
		}
		if f.Entry != nil {
			values++
		}
	}
	if values == 0 || values*len(value) > leastBudget {
		t.Errorf("%d values of %d bytes in a budget of %d", values, len(value), leastBudget)
	}
}

// An image holds what one batch of a partition left, whatever is written
// meanwhile.
func TestImageIsOfOneMoment(t *testing.T) {
	s := open1(t, Config{Dir: t.TempDir()})
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() {
		b := s.Batch(0)
		// Many commits to an image, but not so many that opening one, which reads
		// all that was not flushed, takes seconds.
		pace := time.NewTicker(200 * time.Microsecond)
		defer pace.Stop()
		var err error
		for p := events.Position(1); ctx.Err() == nil && err == nil; p++ {
			<-pace.C
			b.FenceKey("a", p)
			b.FenceKey("z", p)
			b.SetMeta("world", binary.BigEndian.AppendUint64(nil, uint64(p)))
			err = b.Commit()
		}
		written <- err
	}()
	var last uint64
	for range 20 {
		i, err := s.Image()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uint64]bool{}
		if err := i.Rows(0, 0, func(r Row) error {
			if r.Kind == MetaRow {
				last = binary.BigEndian.Uint64(r.Held)
				seen[last] = true
			} else {
				seen[uint64(r.Fence.Hard)] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(seen) > 1 {
			t.Fatalf("an image of several moments: %v", seen)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-written; err != nil || last == 0 {
		t.Fatalf("wrote up to %d: %v", last, err)
	}
}

// restoringIn has the directory that the process restores, and the round it
// begins with.
const restoringIn = "TERCET_TEST_RESTORE"

// TestRestoringProcess is the process that TestKilledWhileRestoring kills: it
// restores ever newer content.
func TestRestoringProcess(t *testing.T) {
	round, dir := events.Position(0), ""
	if n, _ := fmt.Sscan(os.Getenv(restoringIn), &round, &dir); n != 2 {
		return
	}
	for end := round + 500; round < end; round++ { // whoever should kill it may have died
		if err := Restore(Config{Dir: dir}, func(add func(int, Row) error) error {
			return consistentRows(round, add)
		}); err != nil {
			t.Fatal(err)
		}
	}
}

const consistentKeys = 3000

func consistentRows(round events.Position, add func(int, Row) error) error {
	for k := range consistentKeys {
		if err := add(0, Row{Kind: KeyRow, Name: fmt.Sprintf("%05d", k), Fence: fence(round, round)}); err != nil {
			return err
		}
	}
	return add(0, Row{Kind: MetaRow, Name: "world", Held: binary.BigEndian.AppendUint64(nil, uint64(round))})
}

// A process that is killed at any instant of a restoration leaves what was
// there, or what was to be there, and never a part of it (G7).
func TestKilledWhileRestoring(t *testing.T) {
	dir := t.TempDir()
	newest := uint64(0)
	for kill := range 12 {
		c := exec.Command(os.Args[0], "-test.run=^TestRestoringProcess$")
		c.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", restoringIn, newest+1, dir))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		died := time.NewTimer(time.Duration(150+37*kill) * time.Millisecond)
		<-died.C
		_ = c.Process.Kill()
		_ = c.Wait()
		s, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if o := s.Opened(); o.Cause != nil {
			t.Fatalf("after kill %d the store was set aside: %v", kill, o.Cause)
		}
		meta, err := s.Meta(0, "world")
		if err != nil {
			t.Fatal(err)
		}
		if meta != nil {
			round := binary.BigEndian.Uint64(meta)
			if round < newest {
				t.Errorf("after kill %d it is at %d, it was at %d before", kill, round, newest)
			}
			newest = round
			for k := range consistentKeys {
				want(t, s, fmt.Sprintf("%05d", k), fence(events.Position(round), events.Position(round)), "")
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 2 {
			t.Errorf("after kill %d: %v, %v", kill, left, err)
		}
	}
	if newest == 0 {
		t.Error("no restoration came to its end")
	}
}
