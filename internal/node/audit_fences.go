package node

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// fenceLog is what a partition's log fenced of late, as the records say it: no
// index, no guard slot and no World had a hand in it.
type fenceLog struct {
	mu sync.Mutex
	seenFences
}

type seenFences struct {
	// since: every hard fence above it is in fences.
	since    events.Position
	epochs   events.Position // where the last epoch was opened
	last     events.Position
	fences   []seenFence
	names    int // in fences
	brackets map[events.BracketID]events.Scope
}

// seenFence is of one key, or of a scope if that is not nil.
type seenFence struct {
	at    events.Position
	key   string
	scope *events.Scope
}

// Bounds of what is remembered; whatever is reached first.
const (
	maxSeen      = 8192
	maxSeenNames = 65_536
)

// note takes in records that were applied.
func (l *fenceLog) note(steps []coherence.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range steps {
		at := s.Mark.Position
		if at != l.last+1 {
			l.seenFences = seenFences{since: at - 1}
		}
		l.last = at
		if s.Err != nil {
			l.add(seenFence{at: at, scope: &events.Scope{All: true}})
			continue
		}
		for _, c := range s.Record.Changes {
			l.change(at, c)
		}
	}
}

func (l *seenFences) change(at events.Position, c events.Change) {
	switch c := c.(type) {
	case *events.Put:
		if !c.Version.Known { // one that loses to a higher version fences nothing
			l.add(seenFence{at: at, key: c.Key})
		}
	case *events.Invalidate:
		if !c.Soft {
			l.add(seenFence{at: at, scope: &c.Scope})
		}
	case *events.Intent:
		if l.brackets == nil {
			l.brackets = map[events.BracketID]events.Scope{}
		}
		if _, open := l.brackets[c.Bracket]; !open {
			l.brackets[c.Bracket] = c.Scope
		}
		l.add(seenFence{at: at, scope: &c.Scope})
	case *events.End:
		if scope, open := l.brackets[c.Bracket]; open { // else its scope is not known here
			l.add(seenFence{at: at, scope: &scope})
			delete(l.brackets, c.Bracket)
		}
	case *events.EpochChange:
		l.epochs = at
	}
}

func (l *seenFences) add(f seenFence) {
	l.fences = append(l.fences, f)
	l.names += f.size()
	drop := 0
	for ; len(l.fences)-drop > maxSeen || l.names > maxSeenNames && drop < len(l.fences)-1; drop++ {
		l.names -= l.fences[drop].size()
		l.since = l.fences[drop].at
		l.fences[drop] = seenFence{}
	}
	// What is in front is let go when append next moves the rest.
	l.fences = l.fences[drop:]
}

func (f seenFence) size() int {
	if f.scope == nil {
		return 1
	}
	return 1 + len(f.scope.Keys) + len(f.scope.Tags) + len(f.scope.Prefixes) + len(f.scope.Globs)
}

// killer returns the first fence at or below the claim that had killed the
// copy, 0 if none had; known is false if some that might have are forgotten, or
// are of another epoch.
func (l *fenceLog) killer(s Sighting) (at events.Position, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epochs > min(s.Birth, s.Claim) {
		return 0, false
	}
	for _, f := range l.fences {
		if mutant.On(mutant.AuditNeverCompares) {
			break
		}
		if s.Birth < f.at && (f.at <= s.Claim || mutant.On(mutant.AuditBeyondClaim)) && f.covers(s) {
			return f.at, true
		}
	}
	return 0, s.Birth >= l.since && s.Claim <= l.last
}

// covers is the definition, word for word.
func (f seenFence) covers(s Sighting) bool {
	if f.scope == nil {
		return f.key == s.Key
	}
	scope := f.scope
	if mutant.On(mutant.AuditMissesRanges) {
		return slices.Contains(scope.Keys, s.Key)
	}
	if scope.All || slices.Contains(scope.Keys, s.Key) {
		return true
	}
	for _, t := range s.Tags {
		if slices.Contains(scope.Tags, t) {
			return true
		}
	}
	for _, p := range scope.Prefixes {
		if strings.HasPrefix(s.Key, p) {
			return true
		}
	}
	for _, g := range scope.Globs {
		if events.MatchGlob(s.Key, g) {
			return true
		}
	}
	return false
}

// reachBounds are the upper bounds of the histogram's buckets.
var reachBounds = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second,
}

// histogram counts durations. It is safe for concurrent use.
type histogram struct {
	counts [len(reachBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(reachBounds) && d > reachBounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Histogram is a snapshot of durations: how many were at most as long as each
// bound, and their sum.
type Histogram struct {
	Buckets map[time.Duration]uint64
	Count   uint64
	Sum     time.Duration
}

func (h *histogram) snapshot() Histogram {
	s := Histogram{Buckets: make(map[time.Duration]uint64, len(reachBounds)), Sum: time.Duration(h.sum.Load())}
	for i, b := range reachBounds {
		s.Count += h.counts[i].Load()
		s.Buckets[b] = s.Count
	}
	s.Count += h.counts[len(reachBounds)].Load()
	return s
}
