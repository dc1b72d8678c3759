package memlog

import (
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Stream is the log as its server holds it. Its methods are safe for
// concurrent use.
type Stream struct {
	mu      sync.Mutex // held for short computations only
	first   events.Position
	records []events.Delivery // at first, first+1, ...; zero in a hole
	ids     map[events.ID]events.Position
	// history counts the breaks of the stream's history; at each one, every
	// consumer of it is gone.
	history int
	missing bool
	drifted bool
	// changed is closed and replaced whenever anything of the above changes.
	changed chan struct{}
}

// NewStream returns an empty stream. The first record gets position 1.
func NewStream() *Stream {
	return &Stream{first: 1, ids: map[events.ID]events.Position{}, changed: make(chan struct{})}
}

// Append stores a record past every client: under any identity and with any
// content, well-formed or not.
func (s *Stream) Append(id events.ID, data []byte) events.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(id, data)
}

// AppendForeign stores a message that carries no identity of ours.
func (s *Stream) AppendForeign(data []byte) events.Position {
	return s.Append(events.ForeignID(data), data)
}

// Bounds returns the first and last position held; an empty stream has
// first = last+1.
func (s *Stream) Bounds() (first, last events.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.last()
}

// At returns the record at a position, and false if none is held there.
func (s *Stream) At(p events.Position) (events.Delivery, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p < s.first || p > s.last() {
		return events.Delivery{}, false
	}
	d := s.records[p-s.first]
	return d, d.Position > 0
}

// Trim drops all records before first, as the age limit does.
func (s *Stream) Trim(first events.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first <= s.first {
		return
	}
	n := min(int(first-s.first), len(s.records))
	s.records = slices.Clone(s.records[n:])
	s.first = first
	s.begin()
	s.notify()
}

// Lose takes the records from first to last away and leaves a hole: what stands
// behind them keeps its place, and what comes next does not take theirs, even
// if they are the newest or were never written.
func (s *Stream) Lose(first, last events.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = slices.Clone(s.records) // followers hold the old array
	for s.last() < last {
		s.records = append(s.records, events.Delivery{})
	}
	for p := max(first, s.first); p <= last; p++ {
		s.records[p-s.first] = events.Delivery{}
	}
	s.begin()
	s.notify()
}

// begin makes the first record that is left the first one. It needs mu.
func (s *Stream) begin() {
	for len(s.records) > 0 && s.records[0].Position == 0 {
		s.records = s.records[1:]
		s.first++
	}
}

// Rollback makes last the last record again, as the restore of a backup or the
// loss of an unsynced tail does. What comes next takes the positions of what
// was lost.
func (s *Stream) Rollback(last events.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.last() > last && len(s.records) > 0 {
		gone := s.records[len(s.records)-1]
		s.records = s.records[:len(s.records)-1]
		delete(s.ids, gone.ID)
	}
	s.records = slices.Clip(s.records) // followers hold the old array
	s.breakOff()
}

// Recreate deletes the stream and makes it again, empty.
func (s *Stream) Recreate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.records, s.missing = 1, nil, false
	s.ids = map[events.ID]events.Position{}
	s.breakOff()
}

// Delete takes the stream away until Recreate or Restore.
func (s *Stream) Delete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing = true
	s.breakOff()
}

// Restore brings a deleted stream back as it was.
func (s *Stream) Restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing = false
	s.notify()
}

// Drift changes the stream's settings to the harm of its promises.
func (s *Stream) Drift() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drifted = true
	s.breakOff()
}

// Forget empties the server's memory of identities, as the end of its
// duplicate window does: a record that is published again lands again.
func (s *Stream) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.ids)
}

func (s *Stream) last() events.Position {
	return s.first + events.Position(len(s.records)) - 1
}

// append needs mu.
func (s *Stream) append(id events.ID, data []byte) events.Position {
	d := events.Delivery{
		Mark: events.Mark{Position: s.last() + 1, ID: id, Time: time.Now().UnixNano()},
		Data: slices.Clone(data),
	}
	s.records = append(s.records, d)
	s.ids[id] = d.Position
	s.notify()
	return d.Position
}

// publish is what the server does with a client's record that must stand
// behind next, if that is not nil.
func (s *Stream) publish(id events.ID, data []byte, next *events.Mark) (events.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing {
		return 0, errNoStream
	}
	if next != nil {
		if n := len(s.records); n == 0 || s.records[n-1].Position != next.Position || s.records[n-1].ID != next.ID {
			return 0, events.ErrNotNext
		}
	}
	if p, ok := s.ids[id]; ok {
		return p, nil
	}
	return s.append(id, data), nil
}

func (s *Stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// breakOff ends every consumer.
func (s *Stream) breakOff() {
	s.history++
	s.notify()
}
