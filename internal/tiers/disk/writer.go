package disk

import (
	"encoding/binary"
	"errors"
	"runtime"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// job is something that the writer does.
type job interface {
	// do runs on the writer's goroutine.
	do(s *Store) error
	// answer is where the result goes; capacity 1. Nil if nobody waits.
	answer() chan error
}

// write is the writer's goroutine: all writes, one after the other. Its
// callers wait for their answer or for the store's death, so that it may be
// parked, or hang on the disk, without taking them along.
func (s *Store) write() {
	defer close(s.writer)
	for {
		j, ok := s.next()
		if !ok {
			return
		}
		answer := j.answer()
		err := s.death.caught(func() error { return j.do(s) })
		if answer != nil {
			answer <- err
		}
		runtime.Gosched() // lookups come first
	}
}

// next returns the next job, false after the last. The hand's overtake all
// others: they make the room that those need.
func (s *Store) next() (job, bool) {
	select {
	case e := <-s.evictions:
		return e, true
	default:
	}
	select {
	case e := <-s.evictions:
		return e, true
	case j, ok := <-s.jobs:
		return j, ok
	}
}

// apply writes b, so that lookups that begin from now on see it.
func (s *Store) apply(b *pebble.Batch) error {
	n := b.Len()
	err := s.db.Apply(b, pebble.NoSync)
	s.meter.wrote(s, n)
	s.cursors.wrote()
	return err
}

// set is apply of one row.
func (s *Store) set(name, row []byte) error {
	err := s.db.Set(name, row, pebble.NoSync)
	s.meter.wrote(s, len(name)+len(row))
	s.cursors.wrote()
	return err
}

// submit hands j to the writer and waits.
func (s *Store) submit(j job) error { return s.submitTo(s.jobs, j) }

func (s *Store) submitTo(jobs chan job, j job) error {
	if !s.enter() {
		return s.unavailable()
	}
	defer s.exit()
	s.gathering.hurry()
	defer s.gathering.patience()
	select {
	case jobs <- j:
	case <-s.death.dead:
		return s.unavailable()
	}
	select {
	case err := <-j.answer():
		if errors.Is(err, errFatal) {
			return s.unavailable()
		}
		return err
	case <-s.death.dead:
		return s.unavailable()
	}
}

// drain does nothing: when it is answered, what was handed in before is done.
type drain chan error

func (d drain) answer() chan error { return d }
func (d drain) do(*Store) error    { return nil }

// drained waits until pebble has all that was committed before.
func (s *Store) drained() error {
	if s.pending.n.Load() == 0 {
		return nil
	}
	return s.submit(make(drain, 1))
}

// fill stores a copy that the read path found further out.
type fill struct {
	partition int
	e         tiers.Entry
	alive     func(tiers.Fence) bool
	done      chan error
}

func (f *fill) answer() chan error { return f.done }

func (f *fill) do(s *Store) error {
	name, row, refused := s.weigh(f.partition, f.e, f.alive)
	if row != nil {
		if err := s.set(name, row); err != nil {
			return s.failed("fill", err)
		}
	}
	return s.counted(refused)
}

// fillAll stores several copies in one write.
type fillAll struct {
	partition int
	es        []tiers.Entry
	alive     func(tiers.Entry, tiers.Fence) bool
	done      chan error
}

func (f *fillAll) answer() chan error { return f.done }

func (f *fillAll) do(s *Store) error {
	b := s.db.NewBatch()
	defer b.Close()
	// What this batch writes is not to be read yet: of two copies of one key
	// it tells the newer.
	births := make(map[string]events.Position, len(f.es))
	for _, e := range f.es {
		if before, twice := births[e.Key()]; twice && before >= e.Birth() {
			continue
		}
		name, row, refused := s.weigh(f.partition, e, func(fence tiers.Fence) bool { return f.alive(e, fence) })
		if errors.Is(refused, tiers.ErrUnavailable) {
			return refused
		}
		if row != nil {
			if err := b.Set(name, row, nil); err != nil {
				return s.failed("fill", err)
			}
			births[e.Key()] = e.Birth()
		}
		_ = s.counted(refused) // one that is refused is no failure of the others
	}
	if b.Empty() {
		return nil
	}
	if err := s.apply(b); err != nil {
		return s.failed("fill", err)
	}
	return nil
}

// weigh compares e with what is known of its key. It returns the row to write,
// nil if there is none, and why e is not in it, nil if it is.
func (s *Store) weigh(partition int, e tiers.Entry, alive func(tiers.Fence) bool) (name, row []byte, refused error) {
	name = append(appendName(make([]byte, 0, nameHead+len(e.Key())), partition, kindKey), e.Key()...)
	fence, held, err := s.row(name)
	if err != nil {
		return nil, nil, err
	}
	if (e.Birth() < fence.Hard || s.newer(held, fence, e) || alive != nil && !alive(fence)) && !mutant.On(mutant.DiskFillUnchecked) {
		return nil, nil, tiers.ErrOutdated
	}
	s.filter.add(e.Key())
	if !s.takes(e.Key(), len(e)) {
		s.unkept.Add(1)
		return nil, nil, errFull
	}
	if len(e) <= s.cfg.MaxEntry {
		row, err := s.appendValue(appendFence(make([]byte, 0, len(e)), name, fence), e, fence)
		return name, row, err
	}
	if len(held) > 0 {
		row = appendFence(nil, name, fence)
	}
	return name, row, tiers.ErrTooLarge
}

// counted counts the outcome of a fill and returns it.
func (s *Store) counted(refused error) error {
	switch {
	case refused == nil:
		s.fills.Add(1)
	case errors.Is(refused, tiers.ErrOutdated):
		s.outdated.Add(1)
	case errors.Is(refused, tiers.ErrTooLarge):
		s.tooLarge.Add(1)
	}
	return refused
}

// newer reports whether held, what the row of e's key holds beside fence, has a
// later birth than e. A damaged one has none.
func (s *Store) newer(held []byte, fence tiers.Fence, e tiers.Entry) bool {
	if len(held) == 0 {
		return false
	}
	h, err := s.value(nil, held, e.Key(), fence)
	return err == nil && h.Epoch() == e.Epoch() && h.Birth() > e.Birth()
}

// row reads a key's row for the writer, into memory of its own: its fence, or
// the floor, and what it holds of a value.
func (s *Store) row(name []byte) (tiers.Fence, []byte, error) {
	v, closer, err := s.db.Get(name)
	if errors.Is(err, pebble.ErrNotFound) {
		return s.floors.absent(int(binary.BigEndian.Uint16(name))), nil, nil
	}
	if err != nil {
		return tiers.Fence{}, nil, s.failed("read row", err)
	}
	row := append([]byte(nil), v...)
	if err := closer.Close(); err != nil {
		return tiers.Fence{}, nil, s.failed("read row", err)
	}
	fence, held, err := parseRow(name, row)
	if err != nil {
		s.corrupt.Add(1)
		return tiers.Fence{}, nil, err
	}
	return fence, held, nil
}

// remove drops the values of keys and keeps their fences.
type remove struct {
	partition int
	keys      []string
	done      chan error
}

func (r *remove) answer() chan error { return r.done }

func (r *remove) do(s *Store) error {
	b := s.db.NewBatch()
	defer b.Close()
	for _, k := range r.keys {
		name := append(appendName(nil, r.partition, kindKey), k...)
		fence, held, err := s.row(name)
		if errors.Is(err, ErrCorruptRow) {
			continue // its fence is unknown, and must stay so
		}
		if err != nil {
			return err
		}
		if len(held) == 0 {
			continue
		}
		if err := b.Set(name, appendFence(nil, name, fence), nil); err != nil {
			return s.failed("remove", err)
		}
	}
	if err := s.apply(b); err != nil {
		return s.failed("remove", err)
	}
	return nil
}
