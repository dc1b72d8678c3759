package snapshot_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/snapshot"
)

const epoch = events.Epoch(0xe1)

// history is a log that is written by one member, who pulses now and then.
type history struct {
	t      *testing.T
	s      *memlog.Stream
	n      uint64
	digest []events.Digest // by position
}

func newHistory(t *testing.T) *history {
	return &history{t: t, s: memlog.NewStream(), digest: []events.Digest{{}}}
}

func (h *history) add(c events.Change) events.Position {
	h.t.Helper()
	h.n++
	return h.addAs(events.ID{Publisher: events.Incarnation{1}, Counter: h.n}, c)
}

func (h *history) addAs(id events.ID, c events.Change) events.Position {
	h.t.Helper()
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{c}})
	if err != nil {
		h.t.Fatal(err)
	}
	p := h.s.Append(id, data)
	d := h.digest[p-1].Next(id)
	if _, opens := c.(*events.EpochChange); opens {
		d = events.Digest{}.Next(id)
	}
	h.digest = append(h.digest[:p], d)
	return p
}

func (h *history) write(n int) {
	for range n {
		h.add(&events.Invalidate{Scope: events.Scope{Keys: []string{"k"}}})
	}
}

// pulse reports what was applied `behind` records ago.
func (h *history) pulse(e events.Epoch, behind events.Position) {
	_, last := h.s.Bounds()
	h.add(&events.Pulse{Node: "n", Incarnation: events.Incarnation{2}, Number: 1, Epoch: e, Applied: last - behind, Digest: h.digest[last-behind]})
}

func (h *history) place(p events.Position) snapshot.Place {
	d, ok := h.s.At(p)
	if !ok {
		h.t.Fatalf("no record at %d", p)
	}
	return snapshot.Place{Epoch: epoch, Mark: d.Mark, Digest: h.digest[p]}
}

func (h *history) prove(p snapshot.Place) error {
	_, last := h.s.Bounds()
	return snapshot.Prove(h.t.Context(), h.s.Connect(memlog.Faults{}), last, p)
}

func (h *history) want(p snapshot.Place, want error) {
	h.t.Helper()
	if err := h.prove(p); !errors.Is(err, want) || (err == nil) != (want == nil) {
		h.t.Errorf("at %d: %v, want %v", p.Mark.Position, err, want)
	}
}

func TestProve(t *testing.T) {
	h := newHistory(t)
	h.add(&events.EpochChange{Epoch: 1})
	h.write(5)
	h.want(h.place(6), nil) // from where the epoch was opened
	h.pulse(epoch, 2)
	h.write(5)
	for p := events.Position(1); p <= 12; p++ { // by a pulse in front or behind
		h.want(h.place(p), nil)
	}
	other := h.place(9)
	other.Digest[3]++
	h.want(other, snapshot.ErrOtherHistory)
	other = h.place(4)
	other.Digest[3]++
	h.want(other, snapshot.ErrOtherHistory)
	other = h.place(9)
	other.Mark.Time++
	h.want(other, snapshot.ErrOtherHistory)
	other = h.place(12)
	other.Mark.Position++
	h.want(other, snapshot.ErrOtherHistory)
	h.want(snapshot.Place{Epoch: epoch}, snapshot.ErrUnproved)

	h.s.Trim(4)
	h.want(h.place(9), nil)
	before := other
	before.Mark.Position = 2
	h.want(before, snapshot.ErrTrimmed)
}

// H1: two histories part and meet again in one record. The mark there is the
// same, the digest tells.
func TestProveHistoriesThatMeetAgain(t *testing.T) {
	for _, pulsing := range []string{"behind", "in front"} {
		t.Run(pulsing, func(t *testing.T) {
			h := newHistory(t)
			h.add(&events.EpochChange{Epoch: 1})
			h.write(3)
			same := events.ID{Publisher: events.Incarnation{7}, Counter: 1}
			fence := &events.Invalidate{Scope: events.Scope{Keys: []string{"k"}}}
			h.addAs(same, fence)
			lost := h.place(5)
			h.s.Rollback(2)
			h.digest = h.digest[:3]
			h.n += 100 // other records
			h.write(1)
			if pulsing == "in front" {
				h.pulse(epoch, 0)
			} else {
				h.write(1)
			}
			h.addAs(same, fence)
			met := h.place(5)
			lost.Mark.Time = met.Mark.Time // as if the log's clock had met again, too
			if pulsing == "behind" {
				h.s.Trim(4)
				h.pulse(epoch, 0)
			}
			h.want(met, nil)
			h.want(lost, snapshot.ErrOtherHistory)
		})
	}
}

func TestProveOldEpoch(t *testing.T) {
	for _, told := range []string{"by its beginning", "by a pulse"} {
		t.Run(told, func(t *testing.T) {
			h := newHistory(t)
			h.add(&events.EpochChange{Epoch: 1})
			h.write(5)
			h.pulse(epoch, 0)
			place := h.place(6)
			if told == "by a pulse" {
				h.write(2)
				h.pulse(epoch+1, 0)
			} else {
				h.add(&events.EpochChange{Epoch: 2})
				h.write(2)
			}
			h.want(place, snapshot.ErrOldEpoch)
		})
	}
}

func TestProveWithoutAWitness(t *testing.T) {
	h := newHistory(t)
	h.add(&events.EpochChange{Epoch: 1})
	h.write(20)
	h.pulse(epoch+5, 0) // of another epoch: it says nothing of ours
	h.write(3)
	h.s.Trim(10)
	place := h.place(22) // behind the pulse: today's epoch is not known
	if err := h.prove(place); !errors.Is(err, snapshot.ErrUnproved) {
		t.Error(fmt.Errorf("%w, want ErrUnproved", err))
	}
}
