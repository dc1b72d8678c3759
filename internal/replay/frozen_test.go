package replay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
)

func record(t testing.TB, c ...events.Change) []byte {
	t.Helper()
	b, err := events.AppendRecord(nil, events.Record{Changes: c})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A frozen log is its source up to a place, and then what was published to it.
func TestFrozen(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		h := newHistory(t)
		for range 9 {
			h.add(fence(events.Scope{All: true})) // 2 to 10
		}
		f, err := Freeze(t.Context(), h, 5, nil)
		if err != nil {
			t.Fatal(err)
		}
		var seen []events.Position
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- f.Follow(ctx, events.Mark{}, func(b []events.Delivery) error {
				for _, d := range b {
					seen = append(seen, d.Position)
				}
				return nil
			})
		}()
		synctest.Wait()
		expect(t, "at first", seen, []events.Position{1, 2, 3, 4, 5})

		data := record(t, &events.Pulse{Node: "n", Incarnation: events.Incarnation{5}, Number: 1})
		id := events.ID{Publisher: events.Incarnation{5}, Counter: 1}
		for range 2 { // the second time it is known
			if at, err := f.Publish(t.Context(), id, data); at != 6 || err != nil {
				t.Errorf("landed at %d, %v", at, err)
			}
		}
		m, _ := h.MarkAt(t.Context(), 6)
		if _, err := f.PublishNext(t.Context(), m, events.ID{Counter: 9}, data); !errors.Is(err, events.ErrNotNext) || !errors.Is(err, events.ErrNotLanded) {
			t.Errorf("behind a record of the source's future: %v", err)
		}
		synctest.Wait()
		expect(t, "with what was published", seen, []events.Position{1, 2, 3, 4, 5, 6})
		if _, last := h.stream.Bounds(); last != 10 {
			t.Errorf("the source ends at %d", last)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}

		// Whoever was there may come back; whoever was further on may not.
		seen = nil
		at5, _ := h.MarkAt(t.Context(), 5)
		if err := f.Follow(t.Context(), at5, func(b []events.Delivery) error {
			seen = append(seen, b[0].Position)
			return errRead
		}); err != errRead {
			t.Error(err)
		}
		expect(t, "from 5 on", seen, []events.Position{6})
		for _, p := range []events.Position{6, 7} {
			m, _ := h.MarkAt(t.Context(), p)
			if err := f.Follow(t.Context(), m, func([]events.Delivery) error { return nil }); !errors.Is(err, events.ErrHistoryChanged) {
				t.Errorf("from the source's %d on: %v", p, err)
			}
		}
		seen = nil
		if err := f.Read(t.Context(), 4, 6, func(b []events.Delivery) error {
			for _, d := range b {
				seen = append(seen, d.Position)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		expect(t, "read", seen, []events.Position{4, 5, 6})
		if _, err := Freeze(t.Context(), h, 11, nil); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("frozen behind the end: %v", err)
		}
	})
}

var errRead = errors.New("enough")
