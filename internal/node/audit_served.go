package node

import (
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Served is a copy that this node answered a read with, one of the samples that
// the auditor took.
type Served struct {
	// At is when it was sampled, by the wall clock.
	At    time.Time
	Epoch events.Epoch
	Birth events.Position
	// Applied is what the node had applied before it looked.
	Applied events.Position
}

// mostServed is how many samples are kept: a quarter of an hour's, by default.
const mostServed = 1024

// servedLog keeps the last samples, over all keys. Safe for concurrent use.
type servedLog struct {
	mu   sync.Mutex
	ring []servedSample
	next int
}

type servedSample struct {
	key string
	Served
}

// note keeps a sighting, and lets the oldest go where there is no room.
func (l *servedLog) note(s Sighting, wall int64) {
	x := servedSample{s.Key, Served{At: time.UnixMilli(wall), Epoch: s.Epoch, Birth: s.Birth, Applied: s.Claim}}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < mostServed {
		l.ring = append(l.ring, x)
		return
	}
	l.ring[l.next] = x
	l.next = (l.next + 1) % mostServed
}

// of returns the samples of a key, the oldest first.
func (l *servedLog) of(key string) (all []Served) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.ring {
		if x := &l.ring[(l.next+i)%len(l.ring)]; x.key == key {
			all = append(all, x.Served)
		}
	}
	return all
}
