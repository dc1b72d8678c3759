package workload

import (
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/test/history"
)

// observer takes the order of writes from the log, as a member applies it.
//
// Places of different histories are kept apart by a number in front of the
// position: it rises with every Epoch record, and when a position comes again
// with another record, or after a later one, which is a history that changed and
// has no epoch yet.
type observer struct {
	now        func() time.Duration
	partitions int

	mu     sync.Mutex
	parts  []observed
	keys   map[string]map[string]bool // of lanes that write to the log, by prefix
	order  history.Order
	fences map[string][]Fence
	// newest is the place of a key's last value: a fence above it that is there
	// already makes later ones superfluous.
	newest map[string]events.Position
	epochs []Epoch
	// live: what is applied now happens now, and is not what the log had before.
	live   bool
	fenced map[string]time.Duration
}

type observed struct {
	number int
	last   events.Position
	marks  map[events.Position]events.Mark
	ids    map[events.Epoch]int
}

// epochBits is where a place's number of the epoch begins.
const epochBits = 40

func newObserver(now func() time.Duration) *observer {
	return &observer{
		now: now, keys: map[string]map[string]bool{}, order: history.Order{}, fences: map[string][]Fence{},
		newest: map[string]events.Position{}, fenced: map[string]time.Duration{},
	}
}

func (o *observer) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.live = true
}

// knows makes a key one whose fences count, from before its first write on.
func (o *observer) knows(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := prefixOf(key)
	if o.keys[p] == nil {
		o.keys[p] = map[string]bool{}
	}
	o.keys[p][key] = true
}

// apply is called for every record, in the order of its partition.
func (o *observer) apply(partition int, mark events.Mark, changes []events.Change) {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.parts) <= partition {
		o.parts = append(o.parts, observed{marks: map[events.Position]events.Mark{}, ids: map[events.Epoch]int{}})
	}
	p := &o.parts[partition]
	if mark.Position <= p.last {
		if p.marks[mark.Position] == mark {
			return // the observer began again
		}
		p.number++
		clear(p.marks)
	}
	p.last, p.marks[mark.Position] = mark.Position, mark
	for _, c := range changes {
		switch c := c.(type) {
		case *events.EpochChange:
			p.number++
			if o.live {
				o.epochs = append(o.epochs, Epoch{partition, c.Epoch, p.number, now, c.Why})
			}
			o.fence(partition, &events.Scope{All: true}, p.place(mark), now)
		case *events.Put:
			if e, err := tiers.Parse(c.Entry); err == nil {
				if v, strange := decode(c.Key, e.Payload()); strange == "" {
					o.order.Note(c.Key, v, p.place(mark))
					o.newest[c.Key] = max(o.newest[c.Key], p.place(mark))
				}
			}
			o.fences[c.Key] = append(o.fences[c.Key], Fence{Place: p.place(mark), Landed: now})
		case *events.Invalidate:
			if id, ok := strings.CutPrefix(c.Cause.Event, eventSource+"#"); ok && o.fenced[id] == 0 {
				o.fenced[id] = now
			}
			if !c.Soft {
				o.fence(partition, &c.Scope, p.place(mark), now)
			}
		case *events.Pulse:
			// An epoch is named by its record and by where that stands: what tokens
			// call it is learnt from the first member who lives in it.
			if _, known := p.ids[c.Epoch]; !known && c.Epoch != 0 {
				p.ids[c.Epoch] = p.number
			}
		}
	}
}

func (p *observed) place(m events.Mark) events.Position {
	return events.Position(p.number)<<epochBits | m.Position
}

// fence notes a fence for each of the partition's keys that it covers.
func (o *observer) fence(partition int, s *events.Scope, at events.Position, now time.Duration) {
	note := func(key string) {
		if node.Partition(key, o.partitions) != partition || !covers(s, key) {
			return
		}
		have := o.fences[key]
		if n := len(have); n > 0 && have[n-1].Place > o.newest[key] {
			return // what it could kill is dead
		}
		o.fences[key] = append(have, Fence{Place: at, Landed: now})
		o.order.Note(key, -int64(at), at)
	}
	if !s.Broad() {
		for _, key := range s.Keys {
			if o.keys[prefixOf(key)][key] {
				note(key)
			}
		}
		return
	}
	for _, keys := range o.keys {
		for key := range keys {
			note(key)
		}
	}
}

// placeOf turns a token's point into a place; ok is false for an epoch that was
// never seen in the log.
func (o *observer) placeOf(partition int, e events.Epoch, at events.Position) (events.Position, bool) {
	if partition >= len(o.parts) || at == 0 {
		return 0, at == 0
	}
	n, ok := o.parts[partition].ids[e]
	return events.Position(n)<<epochBits | at, ok
}
