package logtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

func testOrder(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 50)
	contiguous(t, want[0].Position-1, want)
	from := upTo(t, h.Log, want[0].Position)
	same(t, read(t, h.Log, from.Mark, 49), want[1:])
}

func testRepublish(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	first := a.publish(t, 1)[0]
	again, err := h.Another(t).Publish(t.Context(), first.ID, first.Data)
	if err != nil || again != first.Position {
		t.Fatalf("published again: position %d, %v; want %d", again, err, first.Position)
	}
	if next := a.publish(t, 1)[0]; next.Position != first.Position+1 {
		t.Fatalf("the next record is at %d, want %d", next.Position, first.Position+1)
	}
}

func testIndeterminate(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	before := a.publish(t, 1)[0]
	unmute := h.Mute(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	id, data := a.next(t)
	_, err := h.Log.Publish(ctx, id, bytes.Clone(data))
	wantPublishError(t, err, events.ErrIndeterminate)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not say that the deadline passed", err)
	}
	unmute()
	from := upTo(t, h.Log, before.Position).Mark
	got := read(t, h.Log, from, 1)[0]
	if got.ID != id || !bytes.Equal(got.Data, data) {
		t.Fatalf("record %s landed, want %s", got.ID, id)
	}
	// It landed once: what is published afterwards stands right behind it.
	if next := a.publish(t, 1)[0]; next.Position != got.Position+1 {
		t.Fatalf("the next record is at %d, want %d", next.Position, got.Position+1)
	}
}

func testNext(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	last := a.publish(t, 2)
	refused := func(what string, behind events.Mark) {
		t.Helper()
		id, data := a.next(t)
		_, err := h.Log.PublishNext(t.Context(), behind, id, data)
		// Where a request was lost before the refusal, the outcome is open.
		if !errors.Is(err, events.ErrNotNext) {
			t.Errorf("behind %s: %v, want ErrNotNext", what, err)
		}
	}
	refused("one that is not the last", last[0].Mark)
	refused("another record at that place", events.Mark{Position: last[1].Position, ID: last[0].ID})
	refused("the last record at another place", events.Mark{Position: last[1].Position + 1, ID: last[1].ID})
	id, data := a.next(t)
	at, err := h.Log.PublishNext(t.Context(), last[1].Mark, id, data)
	switch {
	case errors.Is(err, events.ErrIndeterminate): // its answer was lost
		at = last[1].Position + 1
	case err != nil || at != last[1].Position+1:
		t.Fatalf("behind the last: position %d, %v; want %d", at, err, last[1].Position+1)
	}
	refused("one that was the last", last[1].Mark)
	h.Foreign(t, []byte("foreign"))
	refused("one with a foreign message behind it", events.Mark{Position: at, ID: id})
}

func testEndedContext(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	before := a.publish(t, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id, data := a.next(t)
	_, err := h.Log.Publish(ctx, id, data)
	wantPublishError(t, err, events.ErrNotLanded)
	if next := a.publish(t, 1)[0]; next.Position != before.Position+1 {
		t.Fatalf("something landed between %d and %d", before.Position, next.Position)
	}
}

func testTooLarge(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	id, _ := a.next(t)
	_, err := h.Log.Publish(t.Context(), id, make([]byte, 2*events.MaxRecord))
	wantPublishError(t, err, events.ErrNotLanded)
	if !errors.Is(err, events.ErrTooLarge) {
		t.Errorf("%v does not say that the record is too large", err)
	}
}

func testLargest(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	before := a.publish(t, 1)[0]
	id, _ := a.next(t)
	if _, err := h.Log.Publish(t.Context(), id, make([]byte, events.MaxRecord)); err != nil {
		t.Fatal(err)
	}
	from := upTo(t, h.Log, before.Position).Mark
	if got := read(t, h.Log, from, 1)[0]; len(got.Data) != events.MaxRecord {
		t.Fatalf("%d bytes came, want %d", len(got.Data), events.MaxRecord)
	}
}

func testConcurrent(t *testing.T, h Harness) {
	const authors, each = 8, 50
	first := newAuthor(h.Log).publish(t, 1)[0]
	from := upTo(t, h.Log, first.Position).Mark
	var mu sync.Mutex
	landed := map[events.Position]events.Delivery{}
	var all sync.WaitGroup
	for i := range authors {
		l := h.Log
		if i%2 == 1 {
			l = h.Another(t)
		}
		all.Go(func() {
			a := newAuthor(l)
			for range each {
				id, data := a.next(t)
				p, err := l.Publish(t.Context(), id, data)
				if err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				mu.Lock()
				landed[p] = events.Delivery{Mark: events.Mark{Position: p, ID: id}, Data: data}
				mu.Unlock()
			}
		})
	}
	got := read(t, h.Log, from, authors*each) // while they publish
	all.Wait()
	for _, d := range got {
		same(t, []events.Delivery{d}, []events.Delivery{landed[d.Position]})
	}
	same(t, read(t, h.Another(t), from, authors*each), got)
}
