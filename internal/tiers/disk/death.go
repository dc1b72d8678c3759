package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// death is how a store ends that pebble would have ended the process for. It
// is pebble's logger and takes its events.
type death struct {
	log  *slog.Logger
	dead chan struct{}
	once sync.Once
	why  error // set before dead is closed
	fs   *parkingFS
	// parked: a goroutine of pebble's never returns, and what waits for it
	// doesn't either, Close first of all.
	parked atomic.Bool

	stallLimit time.Duration
	stalled    atomic.Bool
	stalls     atomic.Uint64
	slow       atomic.Uint64
	stallMu    sync.Mutex
	stallTimer *time.Timer
}

func newDeath(log *slog.Logger, stallLimit time.Duration) *death {
	return &death{log: log, dead: make(chan struct{}), stallLimit: stallLimit}
}

var (
	errFatal = errors.New("pebble gave up")
	errStall = errors.New("writes were held up for")
)

func (d *death) die(why error) {
	d.once.Do(func() {
		d.why = why
		close(d.dead)
		d.log.Error("disk tier is dead", "cause", why)
	})
}

func (d *death) isDead() bool {
	select {
	case <-d.dead:
		return true
	default:
		return false
	}
}

func (d *death) Infof(string, ...any) {}

func (d *death) Errorf(format string, args ...any) {
	d.log.Warn("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf does not return: pebble's code behind it relies on the process having
// ended, and may hold locks. What the disk does ends in [parkingFS] before it
// comes to this. Its goroutine stays parked for the rest of the
// process. Those of ours that can get here (the writer's, Open's, Close's)
// have callers that wait for the store's death as well.
func (d *death) Fatalf(format string, args ...any) {
	d.park(fmt.Errorf("%w: "+format, append([]any{errFatal}, args...)...))
}

// park is a death in a goroutine that must not go on. It does not return.
func (d *death) park(why error) {
	d.parked.Store(true) // first: who learns of the death asks
	d.die(why)
	select {}
}

func (d *death) listener() *pebble.EventListener {
	l := &pebble.EventListener{
		// Flushes and compactions that fail are tried again for ever, while
		// the log of writes grows: rather no disk tier than a full disk.
		BackgroundError: func(err error) { d.die(fmt.Errorf("in the background: %w", err)) },
		DataCorruption:  func(i pebble.DataCorruptionInfo) { d.die(fmt.Errorf("corrupt file %s: %w", i.Path, i.Details)) },
		DiskSlow: func(i pebble.DiskSlowInfo) {
			d.slow.Add(1)
			d.log.Warn("disk is slow", "operation", i.OpType, "path", i.Path, "after", i.Duration)
		},
		WriteStallBegin: d.stallBegins,
		WriteStallEnd:   d.stallEnds,
	}
	l.EnsureDefaults(d)
	return l
}

// stallBegins: pebble holds writes up, and with them fences. A stall that
// outlasts the limit is a death: fences must not wait for a disk.
func (d *death) stallBegins(i pebble.WriteStallBeginInfo) {
	d.stalls.Add(1)
	d.stalled.Store(true)
	d.log.Warn("disk tier stalls", "reason", i.Reason)
	d.stallMu.Lock()
	defer d.stallMu.Unlock()
	d.stallTimer = time.AfterFunc(d.stallLimit, func() {
		d.die(fmt.Errorf("%w %v: %s", errStall, d.stallLimit, i.Reason))
	})
}

func (d *death) stallEnds() {
	d.stalled.Store(false)
	d.stallMu.Lock()
	defer d.stallMu.Unlock()
	if d.stallTimer != nil {
		d.stallTimer.Stop()
	}
}

// guarded runs f, which calls pebble, and returns early if the store dies
// meanwhile; f's goroutine is abandoned then.
func (d *death) guarded(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- d.caught(f) }()
	select {
	case err := <-done:
		return err
	case <-d.dead:
		select {
		case err := <-done: // it ended by itself, maybe well
			return err
		default:
			return d.why
		}
	}
}

// close closes pebble, in which nobody must be. It may never return; see
// [death.guarded].
func (d *death) close(db *pebble.DB) error {
	d.fs.enter(stageClosing)
	return db.Close()
}

// caught runs f and turns a panic of pebble's into death.
func (d *death) caught(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", errFatal, p)
			d.die(err)
		}
	}()
	return f()
}
