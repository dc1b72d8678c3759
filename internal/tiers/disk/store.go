package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/tiers"
)

// Store is the third tier. Its methods are safe for concurrent use, but for
// [Batch]'s. After Close, or once the store is dead, they return
// [tiers.ErrUnavailable].
type Store struct {
	cfg        Config
	dir        directory
	generation int
	lock       io.Closer
	db         *pebble.DB
	death      *death
	opened     Opening
	filter     *filter
	learnt     chan struct{} // closed when the filter is complete, or never will be

	jobs      chan job      // to the writer; closed by Close, when nobody is inside
	writer    chan struct{} // closed when the writer has ended
	evictions chan job      // to the writer, before all others
	pending   pending       // commits among the jobs
	gathering *gathering
	cursors   cursors
	floors    floors
	epochs    epochs
	meter     meter
	heat      *heat           // nil without a budget
	life      context.Context // the hand's
	stop      context.CancelFunc
	swept     chan struct{} // closed when the hand has ended

	inside  atomic.Int64 // calls that are in pebble, or wait for the writer
	closed  atomic.Bool
	idle    chan struct{} // capacity 1; signals that inside fell to 0 after closed
	closing sync.Once
	closeEr error
	// abandoned: Close could not free what the store had.
	abandoned atomic.Bool

	corrupt, fills, outdated, tooLarge, evicted, unkept atomic.Uint64
}

func newStore(cfg Config, dir directory, n int, db *pebble.DB, l ledger, dt *death, opened Opening) *Store {
	s := &Store{
		cfg: cfg, dir: dir, generation: n, db: db, death: dt, opened: opened,
		jobs: make(chan job, pendingMax), evictions: make(chan job), writer: make(chan struct{}), idle: make(chan struct{}, 1),
		filter: newFilter(), learnt: make(chan struct{}),
		gathering: newGathering(cfg), floors: l.floors, meter: newMeter(cfg.Budget), swept: make(chan struct{}),
	}
	s.epochs.all.Store(&l.epochs)
	s.life, s.stop = context.WithCancel(context.Background())
	if cfg.Budget > 0 {
		s.heat = newHeat(cfg.Budget)
		s.meter.measure(s)
		go s.sweep()
	} else {
		close(s.swept)
	}
	go s.write()
	if opened.Fresh {
		s.filter.ready.Store(true)
		close(s.learnt)
	} else {
		go s.learn()
	}
	return s
}

// Opened says what Open found.
func (s *Store) Opened() Opening { return s.opened }

// Dead is closed when the store has died; [Store.Err] says of what. The owner
// then closes it and may open another.
func (s *Store) Dead() <-chan struct{} { return s.death.dead }

// Err returns what the store died of, nil while it lives.
func (s *Store) Err() error {
	if !s.death.isDead() {
		return nil
	}
	return s.death.why
}

// enter counts the caller in, unless the store is dead or closed. Whoever
// entered exits.
func (s *Store) enter() bool {
	s.inside.Add(1)
	if s.closed.Load() || s.death.isDead() {
		s.exit()
		return false
	}
	return true
}

func (s *Store) exit() {
	if s.inside.Add(-1) == 0 && s.closed.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

var errClosed = fmt.Errorf("disk tier: %w: closed", tiers.ErrUnavailable)

// unavailable explains why a call was turned away.
func (s *Store) unavailable() error {
	if s.death.isDead() {
		return fmt.Errorf("disk tier: %w: %w", tiers.ErrUnavailable, s.death.why)
	}
	return errClosed
}

// failed takes an error of pebble's: the store dies of it, for a block that
// can't be read may have held fences.
func (s *Store) failed(op string, err error) error {
	s.death.die(fmt.Errorf("%s: %w", op, err))
	return s.unavailable()
}

// Sync makes everything that was committed so far survive a power loss. It
// takes as long as the disk does.
func (s *Store) Sync() error {
	if err := s.drained(); err != nil {
		return err
	}
	if !s.enter() {
		return s.unavailable()
	}
	defer s.exit()
	if s.cfg.fleeting {
		return nil // there is no log to sync, and a power loss takes all
	}
	if err := s.death.guarded(func() error { return s.db.LogData(nil, pebble.Sync) }); err != nil {
		return s.failed("sync", err)
	}
	return nil
}

// closeWait bounds how long the closing of a dead store may take.
const closeWait = time.Second

// Close ends the store: it waits for the calls under way, syncs, and releases
// the directory. A dead store is set aside; what can't be released of it
// stays with the process.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeEr = s.close() })
	return s.closeEr
}

func (s *Store) close() error {
	s.closed.Store(true)
	s.stop()
	var err error
	s.abandoned.Store(true)
	left := s.awaitIdle()
	if left {
		<-s.swept // it hands in no job, and is not inside
		s.gathering.hurry()
		close(s.jobs)
		left = s.awaitWriter()
	}
	if left && !s.death.parked.Load() {
		err = s.closePebble()
	} else {
		// To close would free memory that a call may be at, or wait, with
		// pebble's mutex held, for a goroutine that is parked.
		s.death.fs.enter(stageAbandoned)
	}
	if s.death.isDead() {
		// Its fate is known; what matters now is that the next one can open.
		err = s.dir.discard(s.generation, s.death.why)
	}
	return errors.Join(err, s.lock.Close())
}

// awaitIdle waits until nobody is inside. It reports false if the store is
// dead and somebody stays: a read that the disk doesn't answer.
func (s *Store) awaitIdle() bool {
	dead := s.death.dead
	var late <-chan time.Time
	for s.inside.Load() > 0 {
		select {
		case <-s.idle:
		case <-dead:
			dead, late = nil, time.After(closeWait)
		case <-late:
			return false
		}
	}
	return true
}

// awaitWriter waits until the writer has ended. It reports false if the store
// is dead and the writer stays: it is parked, or waits for one that is.
func (s *Store) awaitWriter() bool {
	select {
	case <-s.writer:
		return true
	case <-s.death.dead:
	}
	select {
	case <-s.writer:
		return true
	case <-time.After(closeWait):
		return false
	}
}

// Released reports whether Close has freed all that the store had. What a
// dead one could not let go of stays with the process, its memory included.
func (s *Store) Released() bool { return !s.abandoned.Load() }

func (s *Store) closePebble() error {
	done := make(chan error, 1)
	go func() { done <- s.death.caught(func() error { s.cursors.drop(); return s.death.close(s.db) }) }()
	select {
	case err := <-done:
		s.abandoned.Store(false)
		return err
	case <-s.death.dead:
	}
	select {
	case err := <-done:
		s.abandoned.Store(false)
		return err
	case <-time.After(closeWait): // its goroutines are parked: abandoned
		s.death.fs.enter(stageAbandoned)
		return nil
	}
}

// Stats are counters since the store was opened, but for the last three.
type Stats struct {
	// CorruptRows counts rows of which something couldn't be read.
	CorruptRows uint64
	// Fills, Outdated and TooLarge count [Store.Fill] by outcome.
	Fills, Outdated, TooLarge uint64
	// Evicted counts values that made room for others, or had expired; Unkept
	// those that were not stored, since there was no room.
	Evicted, Unkept uint64
	// Stalls counts how often pebble held writes up, SlowDisk how often an
	// operation of the disk took seconds.
	Stalls, SlowDisk uint64
	// CacheHits and CacheMisses count blocks.
	CacheHits, CacheMisses uint64
	// DiskBytes is what the store takes on disk, MemoryBytes its caches and
	// memtables, Files its tables.
	DiskBytes, MemoryBytes, Files uint64
}

// Stats returns the counters. It takes locks of pebble's: for a scrape, not
// for a request.
func (s *Store) Stats() Stats {
	out := Stats{
		CorruptRows: s.corrupt.Load(),
		Fills:       s.fills.Load(), Outdated: s.outdated.Load(), TooLarge: s.tooLarge.Load(),
		Evicted: s.evicted.Load(), Unkept: s.unkept.Load(),
		Stalls: s.death.stalls.Load(), SlowDisk: s.death.slow.Load(),
	}
	if !s.enter() {
		return out
	}
	defer s.exit()
	var m *pebble.Metrics
	if s.death.guarded(func() error { m = s.db.Metrics(); return nil }) != nil {
		return out
	}
	total := m.Total()
	out.CacheHits, out.CacheMisses = uint64(m.BlockCache.Hits), uint64(m.BlockCache.Misses)
	out.DiskBytes = m.DiskSpaceUsage()
	out.MemoryBytes = uint64(m.BlockCache.Size) + m.MemTable.Size
	out.Files = uint64(total.TablesCount)
	return out
}
