package play

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Arrivals measures how long each event took from its publish until the last
// node had applied its fence. Its methods are safe for concurrent use.
type Arrivals struct {
	mu sync.Mutex
	// up are the members that run.
	up membersSet
	// waiting holds the events under way by the id that their fences' causes
	// bear, oldest first, since ids may repeat.
	waiting map[string][]*arrival
	// early holds what was applied before its publisher learnt the event's
	// place in its stream, by which alone some fences name it.
	early map[string][]sighting
	// published is the last event's sequence in its stream.
	published uint64
	// pending counts the arrivals that are not complete.
	pending int
	idle    chan struct{} // closed while pending is 0
	took    []time.Duration
	// highest is the last position that was counted, in the one partition that
	// a trial's domain has.
	highest     events.Position
	fences      uint64
	undecodable uint64
}

type membersSet uint64

func (s membersSet) has(i int) bool        { return s&(1<<i) != 0 }
func (s membersSet) with(i int) membersSet { return s | 1<<i }
func (s membersSet) less(i int) membersSet { return s &^ (1 << i) }

// arrival is one event under way.
type arrival struct {
	sent time.Time
	id   string
	// want are the members that have yet to apply its fence.
	want     membersSet
	position events.Position
	// scope is what the fence covers.
	scope *events.Scope
	took  map[int]time.Duration
	done  chan struct{}
	// counts is false once a member that it waited for was stopped: the time
	// until the last node is then not known.
	counts bool
}

type sighting struct {
	member int
	at     time.Time
	mark   events.Mark
	inv    *events.Invalidate
}

// NewArrivals measures a fleet of so many members, all of them running.
func NewArrivals(members int) *Arrivals {
	a := &Arrivals{
		waiting: map[string][]*arrival{}, early: map[string][]sighting{},
		idle: make(chan struct{}),
	}
	close(a.idle)
	for i := range members {
		a.up = a.up.with(i)
	}
	return a
}

// expect says that an event is about to be published. Its fence is recognised
// by id, or, if the event has none, by its place once it is [Arrivals.kept].
func (a *Arrivals) expect(id string, sent time.Time) *arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := &arrival{
		sent: sent, id: id, want: a.up, counts: true,
		took: map[int]time.Duration{}, done: make(chan struct{}),
	}
	if a.pending == 0 {
		a.idle = make(chan struct{})
	}
	a.pending++
	if id != "" {
		a.waiting[id] = append(a.waiting[id], e)
	}
	return e
}

// kept says at which place of its stream an event was kept. One that
// carries no id is recognised by that. Events are published one by one.
func (a *Arrivals) kept(e *arrival, sequence uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.published = sequence
	if e.id != "" {
		return
	}
	id := messageID(sequence)
	e.id = id
	a.waiting[id] = append(a.waiting[id], e)
	for _, s := range a.early[id] {
		a.arrive(id, s)
	}
	delete(a.early, id)
}

// Applied is the fleet's [Observer].
func (a *Arrivals) Applied(member int, at time.Time, mark events.Mark, changes []events.Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := mark.Position > a.highest
	if first {
		a.highest = mark.Position
	}
	if changes == nil && first {
		a.undecodable++
	}
	for _, c := range changes {
		inv, ok := c.(*events.Invalidate)
		if !ok {
			continue
		}
		if first {
			a.fences++
		}
		if _, id, ok := strings.Cut(inv.Cause.Event, "#"); ok {
			a.arrive(id, sighting{member, at, mark, inv})
		}
	}
}

// arrive is for holders of the lock.
func (a *Arrivals) arrive(id string, s sighting) {
	for _, e := range a.waiting[id] {
		if !e.want.has(s.member) {
			continue
		}
		e.want = e.want.less(s.member)
		e.took[s.member] = s.at.Sub(e.sent)
		e.position, e.scope = s.mark.Position, &s.inv.Scope
		if e.want == 0 {
			a.complete(e)
		}
		return
	}
	// Only an event that is being published can be early; older ones are
	// fences that a restarted node applies again.
	if seq, ok := sequenceOf(id); ok && seq > a.published {
		a.early[id] = append(a.early[id], s)
	}
}

const eventsStream = "EVENTS"

// messageID is the id that the invalidator gives an event which carries none:
// its message's place.
func messageID(sequence uint64) string {
	return eventsStream + "/" + strconv.FormatUint(sequence, 10)
}

func sequenceOf(id string) (uint64, bool) {
	digits, ok := strings.CutPrefix(id, eventsStream+"/")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// complete is for holders of the lock.
func (a *Arrivals) complete(e *arrival) {
	if list := a.waiting[e.id]; len(list) == 1 {
		delete(a.waiting, e.id)
	} else {
		for i := range list {
			if list[i] == e {
				a.waiting[e.id] = append(list[:i:i], list[i+1:]...)
				break
			}
		}
	}
	if e.counts {
		last := time.Duration(0)
		for _, d := range e.took {
			last = max(last, d)
		}
		a.took = append(a.took, last)
	}
	close(e.done)
	if a.pending--; a.pending == 0 {
		close(a.idle)
	}
}

// stopped says that a member is about to stop: nothing waits for it.
func (a *Arrivals) stopped(member int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.up = a.up.less(member)
	var over []*arrival
	for _, list := range a.waiting {
		for _, e := range list {
			if !e.want.has(member) {
				continue
			}
			e.want, e.counts = e.want.less(member), false
			if e.want == 0 {
				over = append(over, e)
			}
		}
	}
	for _, e := range over {
		a.complete(e)
	}
}

// started says that a member serves again.
func (a *Arrivals) started(member int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.up = a.up.with(member)
}

// settled is closed while no event is under way. Events published later open
// another one.
func (a *Arrivals) settled() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.idle
}

// counts returns how many events are under way, how many fences were seen, and
// the times of the events that arrived everywhere, from the from'th on.
func (a *Arrivals) counts(from int) (pending int, fences uint64, took []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending, a.fences, append([]time.Duration(nil), a.took[min(from, len(a.took)):]...)
}
