package play

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/input"
)

// fake is a fleet of maps, which is coherent unless it is told to be broken.
type fake struct {
	origin  *Origin
	observe Observer
	broken  fault
	members []*fakeMember

	mu       sync.Mutex
	sequence uint64
	restarts int
}

// fault is a way in which a fleet may be broken.
type fault int

const (
	sound fault = iota
	// neverDrops: the last member applies fences and keeps its copies.
	neverDrops
	// neverApplies: the last member does not apply fences.
	neverApplies
	// mixesUp: the last member gives another key's value now and then.
	mixesUp
	// refuses: the last member won't answer.
	refuses
	// slow: the last member applies fences half a bound late.
	slow
	// breaks: the last member fails.
	breaks
)

var errBroken = errors.New("broken")

const testBound = 3 * time.Second

func newFake(w *input.Workload, broken fault) (*fake, *Origin, *Arrivals) {
	const size = 3
	f := &fake{origin: NewOrigin(w), broken: broken}
	arrivals := NewArrivals(size)
	f.observe = arrivals.Applied
	for i := range size {
		m := &fakeMember{fleet: f, index: i, copies: map[string][]byte{}, broken: sound}
		if i == size-1 {
			m.broken = broken
		}
		f.members = append(f.members, m)
	}
	return f, f.origin, arrivals
}

func (f *fake) Members() (out []Member) {
	for _, m := range f.members {
		out = append(out, m)
	}
	return out
}

func (f *fake) Stats() FleetStats    { return FleetStats{} }
func (f *fake) Addresses() []Address { return nil }
func (f *fake) Close() error         { return nil }

// Publish fences everything: it knows no rules.
func (f *fake) Publish(_ context.Context, c *input.Change) (uint64, error) {
	f.mu.Lock()
	f.sequence++
	n := f.sequence
	f.mu.Unlock()
	id := c.EventID
	if id == "" {
		id = messageID(n)
	}
	fence := &events.Invalidate{Scope: events.Scope{All: true}, Cause: events.Cause{Event: "test#" + id}}
	for _, m := range f.members {
		m.apply(events.Mark{Position: events.Position(n)}, fence)
	}
	return n, nil
}

type fakeMember struct {
	fleet  *fake
	index  int
	broken fault

	mu     sync.Mutex
	down   bool
	births uint64 // fences applied
	copies map[string][]byte
}

func (m *fakeMember) Name() string { return string(rune('a' + m.index)) }

func (m *fakeMember) apply(mark events.Mark, fence *events.Invalidate) {
	switch m.broken {
	case neverApplies:
	case slow:
		time.AfterFunc(testBound/2, func() { m.fence(mark, fence) })
	default:
		m.fence(mark, fence)
	}
}

func (m *fakeMember) fence(mark events.Mark, fence *events.Invalidate) {
	m.mu.Lock()
	if m.down {
		m.mu.Unlock()
		return
	}
	m.births++
	if m.broken != neverDrops {
		clear(m.copies)
	}
	m.mu.Unlock()
	m.fleet.observe(m.index, time.Now(), mark, []events.Change{fence})
}

func (m *fakeMember) Read(ctx context.Context, key string) (Answer, error) {
	switch m.broken {
	case refuses:
		return Answer{}, &node.Error{Op: "get", Key: key, Err: node.ErrNotServing}
	case breaks:
		return Answer{}, errBroken
	case mixesUp:
		payload, _, err := m.fleet.origin.Load(ctx, key+"x")
		return Answer{Payload: payload, Source: node.FromMemory}, err
	}
	m.mu.Lock()
	payload, ok := m.copies[key]
	birth := m.births
	m.mu.Unlock()
	if ok {
		return Answer{Payload: payload, Source: node.FromMemory}, nil
	}
	payload, _, err := m.fleet.origin.Load(ctx, key)
	if err != nil {
		return Answer{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if birth == m.births {
		m.copies[key] = payload
	}
	return Answer{Payload: payload, Source: node.FromOrigin}, nil
}

func (m *fakeMember) Stop(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	clear(m.copies)
	return nil
}

func (m *fakeMember) Start(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = false
	m.fleet.restarts++
	return nil
}

// workload reads a few keys over and over, with changes of all of them; every
// second event carries no id.
func workload() *input.Workload {
	w := &input.Workload{Name: "test", Schema: oneRow{}}
	keys := []string{"k:1", "k:2", "k:3", "k:4"}
	for i := range 4000 {
		w.Steps = append(w.Steps, input.Step{Key: keys[i%len(keys)]})
		if i%100 == 99 {
			c := &input.Change{ID: "c", Subject: "events.test", What: "all changed", Writes: []string{"row"}}
			if i%200 == 99 {
				c.EventID = string(rune('A' + i/200))
			}
			if i == 1999 || i == 2599 {
				c.Told, c.Reach = true, keys
			}
			w.Steps = append(w.Steps, input.Step{Change: c})
		}
	}
	return w
}

type oneRow struct{}

func (oneRow) View(string, func(string) string) input.View { return input.View{Rows: []string{"row"}} }

func playFake(t *testing.T, broken fault) (s Summary, f *fake, said string, err error) {
	t.Helper()
	clocktest.Bubble(t, func(t *testing.T) {
		w := workload()
		var origin *Origin
		var arrivals *Arrivals
		f, origin, arrivals = newFake(w, broken)
		var out strings.Builder
		s, err = Play(t.Context(), Config{
			Workload: w, Fleet: f, Origin: origin, Arrivals: arrivals,
			Show: NewShow(&out, Plain), Duration: 20 * time.Second, Bound: testBound,
		})
		s.Print(NewShow(&out, Color))
		said = out.String()
	})
	return s, f, said, err
}

func TestSoundFleetIsCoherent(t *testing.T) {
	s, f, said, err := playFake(t, sound)
	if err != nil || !s.Coherent() {
		t.Fatalf("a sound fleet: %v, %+v", err, s)
	}
	if s.Reads < 4000 || s.Events != 40 || s.Invalidations != 40 || s.Hits.L1 == 0 || s.Loads == 0 {
		t.Errorf("counts: %+v", s)
	}
	if s.Hits.L1+s.Hits.Origin != s.Reads {
		t.Errorf("%d hits and %d from the origin of %d reads", s.Hits.L1, s.Hits.Origin, s.Reads)
	}
	if f.restarts != 1 {
		t.Errorf("the member was started again %d times", f.restarts)
	}
	for _, want := range []string{"all changed", "is stopped", "is back", "gone on a after", "read once more", "stale_reads"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said of %q in:\n%s", want, said)
		}
	}
}

func TestBrokenFleetsAreFound(t *testing.T) {
	for _, tc := range []struct {
		name   string
		broken fault
		found  func(s Summary) bool
	}{
		{"keeps copies that a fence ended", neverDrops, func(s Summary) bool { return s.StaleReads > 0 && len(s.Faults) > 0 }},
		{"does not apply fences", neverApplies, func(s Summary) bool { return s.Unfenced > 0 }},
		{"gives another key's value", mixesUp, func(s Summary) bool { return s.WrongValues > 0 && len(s.Faults) > 0 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, _, err := playFake(t, tc.broken)
			if err != nil {
				t.Fatal(err)
			}
			if !tc.found(s) || s.Coherent() {
				t.Errorf("not found: %+v", s)
			}
		})
	}
}

func TestLateWithinTheBoundIsCoherent(t *testing.T) {
	s, _, _, err := playFake(t, slow)
	if err != nil || !s.Coherent() {
		t.Fatalf("%v: %+v", err, s)
	}
	if s.LateReads == 0 || s.EventToLastNode.P50 < float64(testBound.Milliseconds())/2 {
		t.Errorf("late reads %d, event to last node %+v", s.LateReads, s.EventToLastNode)
	}
}

func TestRefusalsAreCountedAndAllowed(t *testing.T) {
	s, _, _, err := playFake(t, refuses)
	if err != nil || !s.Coherent() || s.Refused == 0 {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestFailureEndsTheRun(t *testing.T) {
	if _, _, _, err := playFake(t, breaks); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want the member's", err)
	}
}

func TestCancelEndsTheRun(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		w := workload()
		f, origin, arrivals := newFake(w, sound)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := Play(ctx, Config{
			Workload: w, Fleet: f, Origin: origin, Arrivals: arrivals,
			Show: NewShow(io.Discard, Plain), Duration: 20 * time.Second, Bound: testBound,
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
