package sim

import (
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
)

// forever is later than everything.
const forever = time.Duration(1<<63 - 1)

// entry is a record that the log held at some time.
type entry struct {
	// order is the place among all records of the partition, lost ones and
	// those of former logs included, as they landed.
	order    int
	position events.Position
	id       events.ID
	at       time.Duration
	// lost is when the log lost it; forever if it did not. Trimmed is not lost.
	lost time.Duration
	// witnessed: when it was lost, a witness that survives covered it.
	witnessed bool
	epoch     events.Epoch // in force behind it
	// again: the log has lost another record of the epoch that had this place.
	again   bool
	changes []events.Change
	// all: it fences everything (an epoch, or a record nobody can decode).
	all    bool
	opens  bool // an epoch
	scopes []events.Scope
}

// ledger is everything that one partition's log ever held.
type ledger struct {
	mu       sync.Mutex
	w        *World
	index    int
	stream   *memlog.Stream
	entries  []*entry
	next     events.Position // the first position not taken up yet
	brackets map[events.BracketID]events.Scope
	// breaks are when the log's history changed.
	breaks []time.Duration
	// holes are when brackets' intents were lost in the middle of the log.
	holes []hole
	// losses are the same, where the members are the only witness.
	losses []*loss
}

func newLedger(w *World, index int, s *memlog.Stream) *ledger {
	return &ledger{w: w, index: index, stream: s, next: 1, brackets: map[events.BracketID]events.Scope{}}
}

// take takes up what has landed since the last call.
func (l *ledger) take() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeLocked()
}

func (l *ledger) takeLocked() {
	_, last := l.stream.Bounds()
	for ; l.next <= last; l.next++ {
		d, ok := l.stream.At(l.next)
		if !ok {
			continue
		}
		e := &entry{
			order: len(l.entries), position: d.Position, id: d.ID, lost: forever,
			at: time.Unix(0, d.Time).Sub(l.w.trace.start),
		}
		if prev := l.newest(); prev != nil {
			e.epoch = prev.epoch
		}
		l.entries = append(l.entries, e)
		data := d.Data
		if l.w.plan.upgrading { // who can't read it fences more than it says
			data = thisVersion(data)
		}
		r, err := events.DecodeRecord(data)
		e.all = err != nil
		e.changes = r.Changes
		for _, c := range r.Changes {
			switch c := c.(type) {
			case *events.Put:
				e.scopes = append(e.scopes, events.Scope{Keys: []string{c.Key}})
			case *events.Invalidate:
				e.scopes = append(e.scopes, c.Scope)
			case *events.Intent:
				e.scopes = append(e.scopes, c.Scope)
				l.brackets[c.Bracket] = c.Scope
			case *events.End:
				e.scopes = append(e.scopes, l.brackets[c.Bracket])
			case *events.EpochChange:
				// Where it stands counts in what it is called.
				there := coherence.New()
				there.Apply(coherence.Step{Mark: d.Mark, Record: r})
				e.all, e.opens, e.epoch = true, true, there.Epoch()
			}
		}
		e.again = slices.ContainsFunc(l.entries[:e.order], func(o *entry) bool {
			return o.position == e.position && o.epoch == e.epoch
		})
	}
}

// newest returns the last entry that is not lost. It needs mu.
func (l *ledger) newest() *entry {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if l.entries[i].lost == forever {
			return l.entries[i]
		}
	}
	return nil
}

// rollBack makes the log lose everything behind last.
func (l *ledger) rollBack(last events.Position, recreate bool) (lost, witnessed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeLocked()
	now := l.w.trace.now()
	t := node.Testimony{}
	if l.w.plan.witnessHolds {
		t = l.w.store.testimony(l.index)
	}
	if l.w.plan.membersTell() {
		if recreate {
			last = 0
		}
		x := l.w.lose(l.index, last, l.settledLocked())
		l.losses = append(l.losses, x)
		t = x.highest
	}
	var epoch events.Epoch
	if e := l.newest(); e != nil {
		epoch = e.epoch
	}
	for _, e := range l.entries {
		if e.lost == forever && (e.position > last || recreate) {
			e.lost = now
			lost++
			if t.Epoch == epoch && t.Position >= e.position {
				e.witnessed = true
				witnessed++
			}
		}
	}
	l.breaks = append(l.breaks, now)
	if recreate {
		l.stream.Recreate()
		l.next = 1
	} else {
		l.stream.Rollback(last)
		l.next = last + 1
	}
	return lost, witnessed
}

// hole is a bracket that was open when the record that had opened it went
// missing.
type hole struct {
	at    time.Duration
	scope events.Scope
}

// lose makes a hole in the log. A record that somebody may have applied goes on
// to oblige everyone: who has not must behave as if it had fenced everything. So
// does one that a rollback took at this very moment: its place is given to no
// other, and no history parts there (G8).
func (l *ledger) lose(first, last events.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeLocked()
	now := l.w.trace.now()
	for _, e := range l.entries {
		if e.lost != forever && e.lost != now || e.position < first || e.position > last {
			continue
		}
		e.lost, e.witnessed = forever, false
		for _, c := range e.changes {
			if c, ok := c.(*events.Intent); ok && !l.ended(c.Bracket, now+1) {
				l.holes = append(l.holes, hole{now, c.Scope})
			}
		}
	}
	l.stream.Lose(first, last)
}

// openInAHole reports whether a bracket of key was open by then whose beginning
// is in a hole of the log: who comes to the hole does not know of it.
func (l *ledger) openInAHole(key string, by time.Duration) bool {
	return slices.ContainsFunc(l.holes, func(h hole) bool { return h.at <= by && h.scope.Covers(key) })
}

// trim drops records before first, but no Intent of an open bracket that is
// younger than retention.
func (l *ledger) trim(first events.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeLocked()
	old := l.w.trace.now() - l.w.plan.settings.Retention()
	latest := map[events.BracketID]events.Position{}
	for _, e := range l.entries {
		if e.lost != forever {
			continue
		}
		for _, c := range e.changes {
			switch c := c.(type) {
			case *events.Intent:
				if e.at >= old {
					latest[c.Bracket] = e.position
				}
			case *events.End:
				delete(latest, c.Bracket)
			}
		}
	}
	for _, p := range latest {
		first = min(first, p)
	}
	l.stream.Trim(first)
}

// brokenBetween reports whether the history changed in [from, to].
func (l *ledger) brokenBetween(from, to time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.breaks {
		if from <= b && b <= to {
			return true
		}
	}
	return false
}

// covers reports whether the record fences copies of key that carry tags.
func (e *entry) covers(key string, tags []string) bool {
	if e.all {
		return true
	}
	for i := range e.scopes {
		if e.scopes[i].Covers(key) {
			return true
		}
		for _, t := range e.scopes[i].Tags {
			for _, own := range tags {
				if t == own {
					return true
				}
			}
		}
	}
	return false
}

// witnessedBreak reports whether the i-th break lost a record that a witness
// which survives had covered.
func (l *ledger) witnessedBreak(i int) bool {
	for _, e := range l.entries {
		if e.lost == l.breaks[i] && e.witnessed {
			return true
		}
	}
	return false
}

// epochAfter returns when the first epoch behind at was opened.
func (l *ledger) epochAfter(at time.Duration) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.opens && e.at > at {
			return e.at, true
		}
	}
	return 0, false
}

// settledLocked reports whether a new epoch was opened since the last loss. It
// needs mu.
func (l *ledger) settledLocked() bool {
	if len(l.breaks) == 0 {
		return true
	}
	at := l.breaks[len(l.breaks)-1]
	return slices.ContainsFunc(l.entries, func(e *entry) bool { return e.opens && e.at > at && e.lost == forever })
}

// reopened reports whether e's epoch was opened once more behind at: its
// record was published again.
func (l *ledger) reopened(e *entry, at time.Duration) bool {
	for _, f := range l.entries {
		if f.opens && f.epoch == e.epoch && f.at > at {
			return true
		}
	}
	return false
}
