package workload

import (
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Places rise with the log, across epochs and a history that was changed; tokens
// of each epoch find theirs.
func TestObserverPlaces(t *testing.T) {
	o := newObserver(func() time.Duration { return time.Second })
	o.partitions = 1
	const key = "register:0:1"
	o.knows(key)
	put := func(v int64) events.Change {
		e, err := tiers.Append(nil, &tiers.Header{Key: key}, encode(key, v))
		if err != nil {
			t.Fatal(err)
		}
		return &events.Put{Key: key, Entry: e}
	}
	log := func(at events.Position, when int64, c events.Change) {
		o.apply(0, events.Mark{Position: at, Time: when}, []events.Change{c})
	}
	log(1, 1, &events.EpochChange{Epoch: 100}) // members call it 7
	log(2, 2, &events.Pulse{Node: "a", Epoch: 7})
	log(3, 3, put(1))
	log(2, 2, &events.Pulse{Node: "a", Epoch: 7}) // the observer begins again
	log(3, 3, put(1))
	log(4, 4, put(2))
	log(2, 20, put(3)) // another history, and nobody has said so
	log(3, 21, &events.EpochChange{Epoch: 101})
	log(4, 22, &events.Pulse{Node: "b", Epoch: 7}) // a late one
	log(5, 23, &events.Pulse{Node: "a", Epoch: 8})
	log(6, 24, put(4))
	log(7, 25, &events.Invalidate{Scope: events.Scope{Tags: []string{tagOf(key)}}})
	log(8, 26, &events.Invalidate{Scope: events.Scope{All: true}}) // nothing is left to kill
	last := events.Position(0)
	for v := int64(1); v <= 4; v++ {
		at := o.order[key][v]
		if at <= last {
			t.Errorf("value %d is at %x, not behind %x", v, at, last)
		}
		last = at
	}
	for _, x := range []struct {
		epoch events.Epoch
		at    events.Position
		value int64
	}{{7, 4, 2}, {8, 6, 4}} {
		if got, ok := o.placeOf(0, x.epoch, x.at); !ok || got != o.order[key][x.value] {
			t.Errorf("position %d of epoch %d is at %x (%t), its value at %x", x.at, x.epoch, got, ok, o.order[key][x.value])
		}
	}
	if _, ok := o.placeOf(0, 9, 5); ok {
		t.Error("an epoch that nobody lived in has a place")
	}
	fences := o.fences[key]
	if n := len(fences); n == 0 || fences[n-1].Place != o.order[key][4]+1 {
		t.Errorf("fences %v, want the last just behind the last value", fences)
	}
}
