package disk

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Whatever fails in the life of a log, a MANIFEST or the directory is a death,
// and of that cause: pebble would panic, where no recover helps, or exit.
func TestEveryOperationOnTheLog(t *testing.T) {
	log := func(kinds ...errorfs.OpKind) func(errorfs.Op) bool {
		return func(op errorfs.Op) bool {
			for _, k := range kinds {
				if op.Kind == k && strings.HasSuffix(op.Path, ".log") {
					return true
				}
			}
			return false
		}
	}
	for name, match := range map[string]func(errorfs.Op) bool{
		"create a log":       log(errorfs.OpCreate),
		"use a log again":    log(errorfs.OpReuseForWrite),
		"write a log":        log(errorfs.OpFileWrite),
		"sync a log":         log(errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo),
		"sync the directory": func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileSync && filepath.Base(op.Path) == "pebble-1" },
		"write the manifest": writes("", "MANIFEST"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault := faults(syscall.EIO, match)
			cfg := Config{Dir: "d", FS: errorfs.Wrap(vfs.NewMem(), fault), MemTableBytes: 256 << 10}
			s := open1(t, cfg)
			fault.On() // while the log is the first: errorfs lets go of one that is used again
			if err := write(t, s, 0, 10_000); err != nil && !errors.Is(err, tiers.ErrUnavailable) {
				t.Fatal(err)
			}
			awaitDeath(t, s)
			if !errors.Is(s.Err(), syscall.EIO) {
				t.Fatalf("dead of %v, want EIO", s.Err())
			}
			fault.Off()
			closeAndReopen(t, s, cfg)
		})
	}
}

// Who reads when the store dies gets an answer: no goroutine is parked with a
// lock that reads need.
func TestDeathFreesReaders(t *testing.T) {
	fault := faults(syscall.EIO, writes("", "MANIFEST"))
	cfg := Config{Dir: "d", FS: errorfs.Wrap(vfs.NewMem(), fault), MemTableBytes: 256 << 10}
	s := open1(t, cfg)
	if err := write(t, s, 0, 10); err != nil {
		t.Fatal(err)
	}
	began, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.Scan(0, "", 1, func(tiers.Entry) bool {
			close(began)
			<-s.Dead()
			return false
		})
	}()
	<-began
	// The scan holds the memtable that it began with: the last to let go of
	// that takes pebble's mutex.
	fault.On()
	if err := write(t, s, 10, 5000); err != nil && !errors.Is(err, tiers.ErrUnavailable) {
		t.Fatal(err)
	}
	awaitDeath(t, s)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("a reader hangs on a dead store")
	}
	fault.Off()
	closeAndReopen(t, s, cfg)
}

// What pebble would try again, at once and for ever, waits once the store is
// dead, until pebble is told to end.
func TestDeadStoreDoesNotTryAgain(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		d := newDeath(discard, time.Second)
		fault := faults(syscall.ENOSPC, func(errorfs.Op) bool { return true })
		fault.On()
		fs := newParkingFS(errorfs.Wrap(vfs.NewMem(), fault), d)
		create := func() error { return second(fs.Create("000001.sst", vfs.WriteCategoryUnspecified)) }
		fs.enter(stageOpen)
		if err := create(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("create a table: %v, want ENOSPC", err)
		}
		d.die(syscall.ENOSPC)
		done := make(chan error, 1)
		go func() { done <- create() }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("create a table of a dead store: %v before the end", err)
		default:
		}
		fs.enter(stageClosing)
		if err := <-done; !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("create a table at the end: %v, want ENOSPC", err)
		}
	})
}
