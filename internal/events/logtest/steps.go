package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// patience bounds every wait of the suite. What is under test takes
// milliseconds, or seconds where a server restarts; only faults in virtual time
// take longer.
const patience = time.Minute

var publishers atomic.Uint64

// author publishes records under identities of its own.
type author struct {
	log  events.Log
	name events.Incarnation
	n    uint64
}

func newAuthor(l events.Log) *author {
	a := &author{log: l}
	a.name[0] = 0xa7
	n := publishers.Add(1)
	for i := range 8 {
		a.name[15-i] = byte(n >> (8 * i))
	}
	return a
}

// next returns the next record, of a form that events decodes.
func (a *author) next(t *testing.T) (events.ID, []byte) {
	a.n++
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{
		&events.Invalidate{Scope: events.Scope{Keys: []string{fmt.Sprintf("%s:%d", a.name, a.n)}}},
	}})
	if err != nil {
		t.Error(err)
	}
	return events.ID{Publisher: a.name, Counter: a.n}, data
}

// publish publishes n records and returns them as they must be delivered,
// except for their times.
func (a *author) publish(t *testing.T, n int) []events.Delivery {
	t.Helper()
	var out []events.Delivery
	for range n {
		id, data := a.next(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		p, err := a.log.Publish(ctx, id, data)
		cancel()
		if err != nil {
			t.Fatalf("publish: %v", err)
		}
		out = append(out, events.Delivery{Mark: events.Mark{Position: p, ID: id}, Data: data})
	}
	return out
}

var errEnough = errors.New("enough")

// read follows from a mark until n records came.
func read(t *testing.T, l events.Log, from events.Mark, n int) []events.Delivery {
	t.Helper()
	var got []events.Delivery
	err := follow(t, l, from, func(batch []events.Delivery) error {
		got = append(got, batch...)
		if len(got) >= n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("follow from %d: %d of %d records, then %v", from.Position, len(got), n, err)
	}
	if from.Named() {
		contiguous(t, from.Position, got)
	} else {
		contiguous(t, 0, got)
	}
	return got[:n]
}

// upTo follows from the beginning until the record at p came, and returns it.
func upTo(t *testing.T, l events.Log, p events.Position) events.Delivery {
	t.Helper()
	var at events.Delivery
	err := follow(t, l, events.Mark{}, func(batch []events.Delivery) error {
		for _, d := range batch {
			if d.Position == p {
				at = d
				return errEnough
			}
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("follow up to %d: %v", p, err)
	}
	return at
}

func follow(t *testing.T, l events.Log, from events.Mark, sink events.Sink) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return l.Follow(ctx, from, sink)
}

// refused follows from a mark and returns the error that must end it before
// anything is delivered.
func refused(t *testing.T, l events.Log, from events.Mark) error {
	t.Helper()
	return follow(t, l, from, func(batch []events.Delivery) error {
		t.Errorf("delivered %d records from %d on", len(batch), batch[0].Position)
		return errEnough
	})
}

func contiguous(t *testing.T, after events.Position, got []events.Delivery) {
	t.Helper()
	for i, d := range got {
		if after > 0 && d.Position != after+1 {
			t.Fatalf("delivery %d: position %d behind %d", i, d.Position, after)
		}
		after = d.Position
	}
}

func same(t *testing.T, got, want []events.Delivery) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.Position != w.Position || g.ID != w.ID || string(g.Data) != string(w.Data) {
			t.Fatalf("record %d: %d %s %q, want %d %s %q", i, g.Position, g.ID, g.Data, w.Position, w.ID, w.Data)
		}
		if g.Time == 0 {
			t.Fatalf("record %d has no time", i)
		}
	}
}

// wantGap checks a *GapError.
func wantGap(t *testing.T, err error, after, first events.Position) {
	t.Helper()
	var gap *events.GapError
	if !errors.As(err, &gap) || !errors.Is(err, events.ErrGap) {
		t.Fatalf("got %v, want a gap", err)
	}
	if gap.After != after || gap.First != first || gap.Hole() {
		t.Fatalf("%v, want one of (%d, %d)", err, after, first)
	}
}

// wantHole checks a *GapError that is a hole.
func wantHole(t *testing.T, err error, after, first events.Position) {
	t.Helper()
	var gap *events.GapError
	if !errors.As(err, &gap) || gap.After != after || gap.First != first || !gap.Hole() {
		t.Fatalf("got %v, want a hole of (%d, %d)", err, after, first)
	}
}

func wantHistory(t *testing.T, err error) {
	t.Helper()
	var h *events.HistoryError
	if !errors.As(err, &h) || !errors.Is(err, events.ErrHistoryChanged) {
		t.Fatalf("got %v, want a changed history", err)
	}
}

func wantPublishError(t *testing.T, err, outcome error) {
	t.Helper()
	var p *events.PublishError
	if !errors.As(err, &p) || p.Outcome != outcome || p.Cause == nil {
		t.Fatalf("got %v, want a PublishError: %v", err, outcome)
	}
}

// live follows in the background. Deliveries and the final error come through
// its channels.
type live struct {
	seen chan events.Delivery
	end  chan error
}

func followLive(t *testing.T, l events.Log, from events.Mark) *live {
	ctx, cancel := context.WithCancel(t.Context())
	v := &live{seen: make(chan events.Delivery, 100_000), end: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.end <- l.Follow(ctx, from, func(batch []events.Delivery) error {
			for _, d := range batch {
				v.seen <- d
			}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return v
}

func (v *live) await(t *testing.T, p events.Position) events.Delivery {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case d := <-v.seen:
			if d.Position == p {
				return d
			}
		case err := <-v.end:
			t.Fatalf("follower ended before position %d: %v", p, err)
		case <-timeout:
			t.Fatalf("position %d did not come within %v", p, patience)
		}
	}
}

func (v *live) awaitEnd(t *testing.T) error {
	t.Helper()
	select {
	case err := <-v.end:
		return err
	case <-time.After(patience):
		t.Fatalf("follower did not end within %v", patience)
		return nil
	}
}
