package settle

import (
	"container/heap"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// ErrConfig reports a configuration that breaks a rule.
var ErrConfig = errors.New("invalid settling configuration")

// Config shapes a [Queue].
type Config struct {
	// Delay is how long a key waits at least, 0 or more.
	Delay time.Duration
	// Jitter is added to it: between 0 and this, evenly by the draw given to
	// Add, so that loads of a large fence spread out.
	Jitter time.Duration
	// Interval is the least time between two releases of a key, 0 or more: a
	// key that dies ten times a second is not worth ten loads.
	Interval time.Duration
	// Capacity is how many keys are kept, waiting or resting; 1 or more.
	Capacity int
}

// Item is a key that is due.
type Item struct {
	Key      string
	Position events.Position
}

// Queue is for one goroutine at a time.
type Queue struct {
	config  Config
	latest  time.Time
	entries map[string]*entry
	heap    byTime
	waiting int
}

// entry is a key that waits until at or, once released, rests until at.
type entry struct {
	Item
	at      time.Time
	index   int
	resting bool
}

// NewQueue returns an empty queue.
func NewQueue(c Config) (*Queue, error) {
	if c.Delay < 0 || c.Jitter < 0 || c.Interval < 0 || c.Capacity < 1 {
		return nil, fmt.Errorf("%w: delay %v, jitter %v, interval %v, capacity %d", ErrConfig, c.Delay, c.Jitter, c.Interval, c.Capacity)
	}
	return &Queue{config: c, entries: make(map[string]*entry)}, nil
}

// Waiting returns how many keys wait.
func (q *Queue) Waiting() int { return q.waiting }

// Add lets key wait, or raises the position of one that waits already. draw,
// in [0, 1), picks its jitter. It reports false if the queue is full.
func (q *Queue) Add(now time.Time, key string, p events.Position, draw float64) bool {
	now = q.advance(now)
	due := now.Add(q.config.Delay + time.Duration(draw*float64(q.config.Jitter)))
	e := q.entries[key]
	switch {
	case e == nil:
		if len(q.entries) >= q.config.Capacity {
			return false
		}
		e = &entry{Item: Item{Key: key, Position: p}, at: due}
		q.entries[key] = e
		heap.Push(&q.heap, e)
		q.waiting++
	case e.resting:
		e.resting, e.Position = false, p
		if due.After(e.at) {
			e.at = due
		}
		heap.Fix(&q.heap, e.index)
		q.waiting++
	default:
		e.Position = max(e.Position, p)
	}
	return true
}

// Next releases the key that is due, if there is one. Otherwise it returns when
// to ask again; the zero time means: after the next Add.
func (q *Queue) Next(now time.Time) (item Item, ok bool, again time.Time) {
	now = q.advance(now)
	for len(q.heap) > 0 {
		e := q.heap[0]
		if e.at.After(now) {
			if q.waiting == 0 {
				return Item{}, false, time.Time{}
			}
			return Item{}, false, e.at
		}
		if e.resting {
			q.drop(e)
			continue
		}
		q.waiting--
		if q.config.Interval == 0 {
			q.drop(e)
			return e.Item, true, time.Time{}
		}
		e.resting, e.at = true, now.Add(q.config.Interval)
		heap.Fix(&q.heap, 0)
		return e.Item, true, time.Time{}
	}
	return Item{}, false, time.Time{}
}

// Clear forgets every key.
func (q *Queue) Clear() {
	clear(q.entries)
	q.heap, q.waiting = nil, 0
}

func (q *Queue) drop(e *entry) {
	heap.Remove(&q.heap, e.index)
	delete(q.entries, e.Key)
}

// advance moves time on and ends the rest of keys that have rested.
func (q *Queue) advance(now time.Time) time.Time {
	if now.After(q.latest) {
		q.latest = now
	}
	for len(q.heap) > 0 && q.heap[0].resting && !q.heap[0].at.After(q.latest) {
		q.drop(q.heap[0])
	}
	return q.latest
}

type byTime []*entry

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is heap.Interface's.
func (h *byTime) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop is heap.Interface's.
func (h *byTime) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
