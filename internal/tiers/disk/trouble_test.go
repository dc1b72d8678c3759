package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// abandoned names what stays behind of a store that died, or did not open:
// goroutines that are parked, and pebble's own that wait for those.
// That a healthy store leaves nothing is for [TestReopen] to say.
func abandoned() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/raptorflow/tercet/internal/tiers/disk.(*death).park"),
		goleak.IgnoreAnyFunction("github.com/raptorflow/tercet/internal/tiers/disk.(*parkingFS).judged"), // a table's
		goleak.IgnoreAnyFunction("github.com/raptorflow/tercet/internal/tiers/disk.(*Store).closePebble.func1"),
		goleak.IgnoreAnyFunction("github.com/raptorflow/tercet/internal/tiers/disk.(*Store).write"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2.(*cleanupManager).mainLoop"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/record.(*LogWriter).flushLoop"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2.(*ConcurrencyLimitScheduler).periodicGranter"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/vfs.(*diskHealthCheckingFS).startTickerLocked.func1"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/vfs.(*diskHealthCheckingFile).startTicker.func1"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/internal/genericcache.(*shard[...]).releaseLoop"),
	}
}

func awaitDeath(t *testing.T, s *Store) {
	t.Helper()
	select {
	case <-s.Dead():
	case <-time.After(10 * time.Second):
		t.Fatal("the store lives on after 10s")
	}
	if s.Err() == nil {
		t.Fatal("dead of nothing")
	}
	for op, err := range map[string]error{
		"lookup": second(s.Lookup("k", nil)),
		"fill":   s.Fill(0, tiertest.Entry(t, "k", 1<<40, "v"), nil),
		"remove": s.Remove(0, "k"),
		"meta":   second(s.Meta(0, "m")),
		"broad":  s.Broad(0, func(byte, string, tiers.Fence) error { return nil }),
		"scan":   second(s.Scan(0, "", 1, func(tiers.Entry) bool { return true })),
		"sync":   s.Sync(),
		"tier":   second(s.Tier(s.cfg.Partition).Get(t.Context(), "k", nil)),
	} {
		if !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("%s of a dead store: %v, want ErrUnavailable", op, err)
		}
	}
	b := s.Batch(0)
	b.FenceKey("k", 1)
	if err := b.Commit(); !errors.Is(err, tiers.ErrUnavailable) {
		t.Errorf("commit to a dead store: %v, want ErrUnavailable", err)
	}
}

func second[T any](_ T, err error) error { return err }

// closeAndReopen closes a dead store and opens another in its place, which
// must be fresh and work.
func closeAndReopen(t *testing.T, s *Store, cfg Config) {
	t.Helper()
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Fatalf("close a dead store: %v", err)
	}
	if took := time.Since(began); took > 5*closeWait {
		t.Fatalf("closing a dead store took %v", took)
	}
	s = open1(t, cfg)
	if !s.Opened().Fresh {
		t.Fatal("the dead store was opened again")
	}
	b := s.Batch(0)
	b.PutEntry(tiertest.Entry(t, "k", 1, "v"))
	mustCommit(t, b)
	want(t, s, "k", fence(1, 1), "v")
}

// faults makes operations fail while it is on.
func faults(err error, match func(op errorfs.Op) bool) *errorfs.Toggle {
	return &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if match(op) {
			return err
		}
		return nil
	})}
}

func writes(suffix, prefix string) func(errorfs.Op) bool {
	return func(op errorfs.Op) bool {
		base := filepath.Base(op.Path)
		return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.HasSuffix(base, suffix) && strings.HasPrefix(base, prefix)
	}
}

func write(t *testing.T, s *Store, from, to int) error {
	t.Helper()
	b := s.Batch(0)
	for i := from; i < to; i++ {
		b.PutEntry(tiertest.Entry(t, fmt.Sprintf("key%06d", i), events.Position(i), strings.Repeat("x", 500)))
		if err := b.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func TestDiskFullOnTheLog(t *testing.T) {
	mem := vfs.NewMem()
	full := faults(syscall.ENOSPC, writes(".log", ""))
	cfg := Config{Dir: "d", FS: errorfs.Wrap(mem, full), MemTableBytes: 256 << 10}
	s := open1(t, cfg)
	if err := write(t, s, 0, 10); err != nil {
		t.Fatal(err)
	}
	full.On()
	for i := 10; !s.death.isDead(); i++ {
		if err := write(t, s, i, i+1); err != nil && !errors.Is(err, tiers.ErrUnavailable) {
			t.Fatal(err)
		}
		if i > 1_000_000 {
			t.Fatal("a full disk went unnoticed")
		}
	}
	awaitDeath(t, s)
	if !errors.Is(s.Err(), syscall.ENOSPC) {
		t.Fatalf("dead of %v, want a full disk", s.Err())
	}
	full.Off()
	closeAndReopen(t, s, cfg)
}

func TestDiskFullInTheBackground(t *testing.T) {
	full := faults(syscall.ENOSPC, writes(".sst", ""))
	cfg := Config{Dir: "d", FS: errorfs.Wrap(vfs.NewMem(), full), MemTableBytes: 256 << 10}
	s := open1(t, cfg)
	full.On()
	if err := write(t, s, 0, 5000); err != nil && !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatal(err)
	}
	awaitDeath(t, s)
	if !errors.Is(s.Err(), syscall.ENOSPC) {
		t.Fatalf("dead of %v, want a full disk", s.Err())
	}
	full.Off()
	closeAndReopen(t, s, cfg)
	// A full disk must not stay full of what was set aside.
	aside := cfg.FS.PathJoin("d", "pebble-1"+brokenName)
	if names, err := cfg.FS.List(aside); err != nil || len(names) > 0 {
		t.Fatalf("left: %q, %v", names, err)
	}
}

// pebble ends the process when its MANIFEST can't be written. Nothing of ours
// may hang on the goroutine that is parked instead.
func TestManifestThatCannotBeWritten(t *testing.T) {
	fault := faults(syscall.EIO, writes("", "MANIFEST"))
	cfg := Config{Dir: "d", FS: errorfs.Wrap(vfs.NewMem(), fault), MemTableBytes: 256 << 10}
	s := open1(t, cfg)
	fault.On()
	if err := write(t, s, 0, 5000); err != nil && !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatal(err)
	}
	awaitDeath(t, s)
	fault.Off()
	closeAndReopen(t, s, cfg)
}

func TestNothingCanBeMade(t *testing.T) {
	for _, match := range []func(errorfs.Op) bool{writes("", "MANIFEST"), writes(".log", ""), writes("", "")} {
		fault := faults(syscall.EIO, match)
		fault.On()
		s, err := Open(Config{Dir: "d", FS: errorfs.Wrap(vfs.NewMem(), fault)})
		if err == nil {
			// The log is written behind the caller's back.
			for i := 0; !s.death.isDead() && i < 100_000; i++ {
				_ = write(t, s, i, i+1)
			}
			awaitDeath(t, s)
			_ = s.Close()
		}
	}
}

// flushed opens a store whose rows lie in a table, and in no cache.
func flushed(t *testing.T, cfg Config) *Store {
	t.Helper()
	s := open1(t, cfg)
	if err := write(t, s, 0, 2000); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open1(t, cfg)
}

func TestTableThatCannotBeRead(t *testing.T) {
	fault := faults(syscall.EIO, func(op errorfs.Op) bool {
		return op.Kind.ReadOrWrite() == errorfs.OpIsRead && strings.HasSuffix(op.Path, ".sst")
	})
	cfg := Config{Dir: "d", FS: errorfs.Wrap(vfs.NewMem(), fault)}
	s := flushed(t, cfg)
	fault.On()
	if _, err := s.Lookup("key000777", nil); !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("lookup: %v, want ErrUnavailable", err)
	}
	awaitDeath(t, s)
	fault.Off()
	closeAndReopen(t, s, cfg)
}

func TestFlippedBitInATable(t *testing.T) {
	mem := vfs.NewMem()
	cfg := Config{Dir: "d", FS: mem}
	if err := flushed(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	dir := mem.PathJoin("d", "pebble-1")
	names, err := mem.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, n := range names {
		if !strings.HasSuffix(n, ".sst") {
			continue
		}
		content := readFile(t, mem, mem.PathJoin(dir, n))
		if len(content) < 100_000 {
			continue
		}
		content[len(content)/2] ^= 1
		writeFile(t, mem, mem.PathJoin(dir, n), content)
		flipped++
	}
	if flipped == 0 {
		t.Fatalf("no table to damage among %q", names)
	}
	s := open1(t, cfg)
	for i := 0; !s.death.isDead(); i++ {
		if i == 2000 {
			t.Fatal("a damaged block went unnoticed")
		}
		key := fmt.Sprintf("key%06d", i)
		found, err := s.Lookup(key, nil)
		if err == nil && (found.Entry == nil || found.Entry.Key() != key) {
			t.Fatalf("lookup %s: %+v", key, found)
		}
	}
	awaitDeath(t, s)
	closeAndReopen(t, s, cfg)
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever is found in place of a store, a working one is opened.
func TestDirectoriesThatAreNoStore(t *testing.T) {
	damage := map[string]func(t *testing.T, dir string){
		"manifest of rubbish": func(t *testing.T, dir string) {
			for _, f := range glob(t, dir, "MANIFEST-*") {
				if err := os.WriteFile(f, []byte("rubbish, and more of it than a header takes"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
		"manifest missing": func(t *testing.T, dir string) {
			for _, f := range glob(t, dir, "MANIFEST-*") {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		},
		"tables missing": func(t *testing.T, dir string) {
			for _, f := range glob(t, dir, "*.sst") {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		},
		"options of rubbish": func(t *testing.T, dir string) {
			for _, f := range glob(t, dir, "OPTIONS-*") {
				if err := os.WriteFile(f, []byte("\x00\x01"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
		"older rows": func(t *testing.T, dir string) {
			rows(t, dir, func(db *pebble.DB) error {
				return db.Set(append(appendName(nil, formatPartition, 0), formatName...), []byte("1"), pebble.Sync)
			})
		},
		"newer rows": func(t *testing.T, dir string) {
			rows(t, dir, func(db *pebble.DB) error {
				return db.Set(append(appendName(nil, formatPartition, 0), formatName...), []byte(Format+"1"), pebble.Sync)
			})
		},
		"somebody's rows": func(t *testing.T, dir string) {
			rows(t, dir, func(db *pebble.DB) error {
				return db.Delete(append(appendName(nil, formatPartition, 0), formatName...), pebble.Sync)
			})
		},
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir()}
			for round := 1; round <= 2; round++ { // set aside more than once
				if err := flushed(t, cfg).Close(); err != nil {
					t.Fatal(err)
				}
				harm(t, filepath.Join(cfg.Dir, fmt.Sprint(generationName, round)))
				s := open1(t, cfg)
				o := s.Opened()
				if !o.Fresh || o.Cause == nil || o.SetAside != filepath.Join(cfg.Dir, fmt.Sprint(generationName, round, brokenName)) {
					t.Fatalf("opened %+v", o)
				}
				if _, err := os.Stat(o.SetAside); err != nil {
					t.Fatal(err)
				}
				want(t, s, "key000001", fence(0, 0), "")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if left := glob(t, cfg.Dir, "*"+brokenName); len(left) != 1 {
				t.Fatalf("set aside and kept: %q, want the latest", left)
			}
		})
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return names
}

func rows(t *testing.T, dir string, change func(*pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatTableFormatV6, Logger: newDeath(discard, time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A panic of pebble's is a death, and no more.
func TestPanicIsDeath(t *testing.T) {
	s := open1(t, Config{})
	err := s.submit(&fill{e: tiertest.Entry(t, "k", 1, "v"), alive: func(tiers.Fence) bool { panic("out of order") }, done: make(chan error, 1)})
	if !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatalf("%v, want ErrUnavailable", err)
	}
	awaitDeath(t, s)
}

// What is there after a power loss is a prefix of what was committed, and the
// checkpoint is as old as the rows; what was synced is there.
func TestCrashLeavesAPrefix(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		mem := vfs.NewCrashableMem()
		cfg := Config{Dir: "d", FS: mem, MemTableBytes: 256 << 10}
		s := open1(t, cfg)
		b := s.Batch(0)
		total, synced := 50+rng.IntN(400), 0
		for n := 1; n <= total; n++ {
			b.PutEntry(tiertest.Entry(t, fmt.Sprint("a", n), events.Position(n), "v"))
			b.PutEntry(tiertest.Entry(t, fmt.Sprint("b", n%7), events.Position(n), strings.Repeat("x", rng.IntN(2000))))
			b.SetMeta("applied", binary.BigEndian.AppendUint64(nil, uint64(n)))
			mustCommit(t, b)
			if rng.IntN(100) == 0 {
				if err := s.Sync(); err != nil {
					t.Fatal(err)
				}
				synced = n
			}
		}
		crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		after := open1(t, Config{Dir: "d", FS: crashed})
		if o := after.Opened(); o.SetAside != "" {
			t.Fatalf("seed %d: set aside for %v", seed, o.Cause)
		}
		applied := 0
		if m, err := after.Meta(0, "applied"); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		} else if m != nil {
			applied = int(binary.BigEndian.Uint64(m))
		}
		if applied < synced {
			t.Fatalf("seed %d: applied %d, synced at %d", seed, applied, synced)
		}
		for n := 1; n <= total; n++ {
			found, err := after.Lookup(fmt.Sprint("a", n), nil)
			if err != nil {
				t.Fatal(err)
			}
			if (found.Entry != nil) != (n <= applied) {
				t.Fatalf("seed %d: applied %d, but row %d there: %v", seed, applied, n, found.Entry != nil)
			}
		}
		for k := range 7 {
			newest := applied - ((applied-k)%7+7)%7
			found, err := after.Lookup(fmt.Sprint("b", k), nil)
			if err != nil {
				t.Fatal(err)
			}
			if newest > 0 && (found.Entry == nil || found.Entry.Birth() != events.Position(newest)) {
				t.Fatalf("seed %d: applied %d, b%d is %v, want born %d", seed, applied, k, found.Fence, newest)
			}
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
