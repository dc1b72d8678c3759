package memory

import (
	"encoding/binary"
	"sync"

	"github.com/raptorflow/tercet/internal/tiers"
)

// young is the segment for copies on trial: queues in which each waits for its
// turn, and which count how often it was asked for meanwhile. freecache is not
// used here, because who leaves must be asked what he was worth, and because a
// small cache cut into 256 pieces has no order to speak of.
//
// Its locks are leaves but for freecache's: who leaves for main is written there
// under the lock of the queue he leaves, so that no moment finds a copy in
// neither place and a later one in both. So whoever removes a key looks here
// first and in main afterwards.
type young struct {
	queues [youngQueues]queue
}

const (
	youngQueues = 32
	// youngHeader is what a queue keeps before each copy: the hash of its key,
	// its length, and how often it was asked for, or that it is gone.
	youngHeader = 16
	mostAsked   = 3
	gone        = 0xff
)

// leaver decides what becomes of a copy whose trial is over. e is valid during
// the call.
type leaver func(hash uint64, e tiers.Entry, asked uint8)

type queue struct {
	mu           sync.Mutex
	at           map[uint64]uint32 // where a copy lies, by the hash of its key
	ring         []byte
	head, tail   int
	end          int  // of the part behind head, while the ring is wrapped
	wrapped      bool // tail is below head
	hits, misses uint64
	left         uint64
}

func newYoung(bytes int) *young {
	y := new(young)
	for i := range y.queues {
		y.queues[i].ring = make([]byte, bytes/youngQueues)
		y.queues[i].at = make(map[uint64]uint32)
	}
	return y
}

func (y *young) of(h uint64) *queue { return &y.queues[h>>59] }

// get returns the copy of key, as [Cache.Lookup] does.
func (y *young) get(key string, dst []byte) ([]byte, bool) {
	h := hashOf(key)
	q := y.of(h)
	q.mu.Lock()
	defer q.mu.Unlock()
	e, at, ok := q.find(key, h)
	if !ok {
		q.misses++
		return nil, false
	}
	q.hits++
	if n := &q.ring[at+12]; *n < mostAsked {
		*n++
	}
	return append(dst[:0], e...), true
}

// peek calls f with the copy of key, which is valid during the call, and reports
// whether there is one. It counts as no question.
func (y *young) peek(key string, f func(tiers.Entry)) bool {
	h := hashOf(key)
	q := y.of(h)
	q.mu.Lock()
	defer q.mu.Unlock()
	e, _, ok := q.find(key, h)
	if ok {
		f(e)
	}
	return ok
}

// put appends a copy that fits; those before it that make room leave. The caller
// has removed an older copy of its key.
func (y *young) put(h uint64, e tiers.Entry, leave leaver) {
	q := y.of(h)
	n := youngSize(len(e))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget(h) // of another key with this hash
	for !q.room(n) {
		q.pop(leave)
	}
	b := q.ring[q.tail:]
	binary.LittleEndian.PutUint64(b, h)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(e)))
	b[12] = 0
	copy(b[youngHeader:], e)
	q.at[h] = uint32(q.tail)
	q.tail += n
}

// del removes the copy of key.
func (y *young) del(key string) {
	h := hashOf(key)
	q := y.of(h)
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, _, ok := q.find(key, h); ok {
		q.forget(h)
	}
}

// clear drops all copies and sets the counters to zero, as freecache does.
func (y *young) clear() {
	for i := range y.queues {
		q := &y.queues[i]
		q.mu.Lock()
		clear(q.at)
		q.head, q.tail, q.wrapped = 0, 0, false
		q.hits, q.misses, q.left = 0, 0, 0
		q.mu.Unlock()
	}
}

// youngSize is what a copy of n bytes takes in a ring.
func youngSize(n int) int { return (youngHeader + n + 7) &^ 7 }

func (q *queue) find(key string, h uint64) (tiers.Entry, int, bool) {
	at, ok := q.at[h]
	if !ok {
		return nil, 0, false
	}
	e := q.entry(int(at))
	return e, int(at), e.Key() == key
}

func (q *queue) entry(at int) tiers.Entry {
	n := int(binary.LittleEndian.Uint32(q.ring[at+8:]))
	return tiers.Entry(q.ring[at+youngHeader : at+youngHeader+n : at+youngHeader+n])
}

func (q *queue) forget(h uint64) {
	if at, ok := q.at[h]; ok {
		q.ring[at+12] = gone
		delete(q.at, h)
	}
}

// room reports whether n bytes in a row are free at tail, which it moves to the
// ring's beginning if they are there.
func (q *queue) room(n int) bool {
	switch {
	case q.wrapped:
		return q.tail+n <= q.head
	case q.tail+n <= len(q.ring):
		return true
	case n <= q.head:
		q.end, q.tail, q.wrapped = q.tail, 0, true
		return true
	}
	return false
}

// pop lets the oldest copy leave.
func (q *queue) pop(leave leaver) {
	e, asked := q.entry(q.head), q.ring[q.head+12]
	h := binary.LittleEndian.Uint64(q.ring[q.head:])
	q.head += youngSize(len(e))
	switch {
	case q.wrapped && q.head == q.end:
		q.head, q.wrapped = 0, false
	case !q.wrapped && q.head == q.tail:
		q.head, q.tail = 0, 0
	}
	if asked != gone {
		q.left++
		leave(h, e, asked)
		delete(q.at, h)
	}
}

// count adds what the queues hold and have counted.
func (y *young) count(s *Stats) {
	for i := range y.queues {
		q := &y.queues[i]
		q.mu.Lock()
		s.Young += uint64(len(q.at))
		s.Hits += q.hits
		s.Misses += q.misses
		s.Evacuated += q.left
		q.mu.Unlock()
	}
	s.Entries += s.Young
}
