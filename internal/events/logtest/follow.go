package logtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

func testFromMark(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 10)
	all := read(t, h.Log, upTo(t, h.Log, want[0].Position).Mark, 9)
	for i := range len(all) - 1 {
		same(t, read(t, h.Log, all[i].Mark, 8-i), want[i+2:])
	}
}

func testBacklog(t *testing.T, h Harness) {
	const n = 3000
	want := newAuthor(h.Log).publish(t, n)
	from := upTo(t, h.Log, want[0].Position).Mark
	var got []events.Delivery
	largest := 0
	err := follow(t, h.Log, from, func(batch []events.Delivery) error {
		largest = max(largest, len(batch))
		if len(batch) == 0 {
			t.Error("empty batch")
		}
		got = append(got, batch...)
		if len(got) >= n-1 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	same(t, got, want[1:])
	if largest < 2 || largest > 1024 {
		t.Errorf("largest batch of a backlog: %d records, want 2 to 1024", largest)
	}
}

func testLive(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	v := followLive(t, h.Another(t), events.Mark{})
	for range 20 {
		want := a.publish(t, 1)[0]
		got := v.await(t, want.Position)
		same(t, []events.Delivery{got}, []events.Delivery{want})
	}
}

func testRead(t *testing.T, h Harness) {
	const n = 1500
	want := newAuthor(h.Log).publish(t, n)
	for _, r := range [][2]int{{0, n - 1}, {0, 0}, {n - 1, n - 1}, {700, 1300}} {
		got, err := readRange(t, h.Log, want[r[0]].Position, want[r[1]].Position)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want[r[0]:r[1]+1])
	}
	mine := errors.New("mine")
	if err := h.Log.Read(t.Context(), 1, 1, func([]events.Delivery) error { return mine }); err != mine {
		t.Errorf("got %v, want the sink's error itself", err)
	}
	for _, r := range [][2]events.Position{{0, 1}, {2, 1}} {
		if _, err := readRange(t, h.Log, r[0], r[1]); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("read from %d to %d: %v, want invalid", r[0], r[1], err)
		}
	}
}

func testReadGap(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	h.Trim(t, want[10].Position)
	_, err := readRange(t, h.Log, want[5].Position, want[15].Position)
	wantGap(t, err, want[5].Position-1, want[10].Position)
	got, err := readRange(t, h.Log, want[10].Position, want[15].Position)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want[10:16])
}

func readRange(t *testing.T, l events.Log, first, last events.Position) (got []events.Delivery, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = l.Read(ctx, first, last, func(batch []events.Delivery) error {
		got = append(got, batch...)
		return nil
	})
	return got, err
}

func testForeign(t *testing.T, h Harness) {
	before := newAuthor(h.Log).publish(t, 1)[0]
	from := upTo(t, h.Log, before.Position).Mark
	data := []byte("not one of ours")
	h.Foreign(t, data)
	got := read(t, h.Log, from, 1)[0]
	if got.ID != events.ForeignID(data) || string(got.Data) != string(data) {
		t.Fatalf("came as %s %q", got.ID, got.Data)
	}
	newAuthor(h.Log).publish(t, 1)
	read(t, h.Log, got.Mark, 1) // it is a place to go on from, too
}

func testSinkError(t *testing.T, h Harness) {
	newAuthor(h.Log).publish(t, 1)
	mine := errors.New("mine")
	if err := follow(t, h.Log, events.Mark{}, func([]events.Delivery) error { return mine }); err != mine {
		t.Fatalf("got %v, want the sink's error itself", err)
	}
}

func testContextEnds(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	first := newAuthor(h.Log).publish(t, 1)[0]
	err := h.Log.Follow(ctx, events.Mark{}, func(batch []events.Delivery) error {
		if batch[len(batch)-1].Position == first.Position {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that of the context", err)
	}
	if err := h.Log.Follow(ctx, events.Mark{}, func([]events.Delivery) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("with an ended context: %v", err)
	}
}

func testClose(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	last := a.publish(t, 1)[0]
	v := followLive(t, h.Log, events.Mark{})
	v.await(t, last.Position)
	h.Close()
	if err := v.awaitEnd(t); !errors.Is(err, events.ErrClosed) {
		t.Errorf("follower ended with %v, want closed", err)
	}
	id, data := a.next(t)
	_, err := h.Log.Publish(t.Context(), id, data)
	wantPublishError(t, err, events.ErrNotLanded)
	if !errors.Is(err, events.ErrClosed) {
		t.Errorf("publish: %v, want closed", err)
	}
	if err := refused(t, h.Log, events.Mark{}); !errors.Is(err, events.ErrClosed) {
		t.Errorf("follow: %v, want closed", err)
	}
	h.Close() // once more does nothing
}

func testGap(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	from := upTo(t, h.Log, want[5].Position).Mark
	h.Trim(t, want[10].Position)
	wantGap(t, refused(t, h.Log, from), want[5].Position, want[10].Position)
	same(t, read(t, h.Log, events.Mark{}, 10), want[10:]) // from zero it goes
}

// The record that the follower applied last is gone itself: its identity can't
// be compared, so that nothing proves the same history.
func testGapAtMark(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	from := upTo(t, h.Log, want[9].Position).Mark
	h.Trim(t, want[10].Position)
	wantGap(t, refused(t, h.Log, from), want[9].Position, want[10].Position)
}

func testTrimBehind(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	from := upTo(t, h.Log, want[10].Position).Mark
	h.Trim(t, want[10].Position)
	same(t, read(t, h.Log, from, 9), want[11:])
}

func testHole(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	h.Lose(t, want[8].Position, want[10].Position)
	from := upTo(t, h.Log, want[4].Position).Mark
	var got []events.Delivery
	err := follow(t, h.Log, from, func(batch []events.Delivery) error {
		got = append(got, batch...)
		return nil
	})
	same(t, got, want[5:8])
	wantHole(t, err, want[7].Position, want[11].Position)
	same(t, read(t, h.Log, events.Mark{Position: want[10].Position}, 9), want[11:])
	_, err = readRange(t, h.Log, want[5].Position, want[15].Position)
	wantHole(t, err, want[7].Position, want[11].Position)
}

// Nothing tells whether the record that is gone was the one that the follower
// had applied.
func testHoleAtMark(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	at := want[9].Position
	h.Lose(t, at, at)
	from := events.Mark{Position: at, ID: want[9].ID, Time: 1}
	wantHole(t, refused(t, h.Log, from), at, at+1)
}

// A mark that names no record is a place, behind which something may be gone.
func testBehind(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	place := func(i int) events.Mark { return events.Mark{Position: want[i].Position} }
	same(t, read(t, h.Log, place(4), 15), want[5:])
	h.Trim(t, want[10].Position)
	same(t, read(t, h.Log, place(4), 10), want[10:])
	end := place(19)
	want = newAuthor(h.Log).publish(t, 1)
	same(t, read(t, h.Log, end, 1), want)
	end.Position += 2
	wantHistory(t, refused(t, h.Log, end)) // the log has never come so far
}

func testRecreatedShorter(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 20)
	from := upTo(t, h.Log, want[10].Position).Mark
	h.Recreate(t)
	wantHistory(t, refused(t, h.Log, from))
}

func testRecreatedLonger(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	want := a.publish(t, 20)
	from := upTo(t, h.Log, want[10].Position).Mark
	h.Recreate(t)
	a.publish(t, 40)
	wantHistory(t, refused(t, h.Log, from))
}

func testRecreatedLive(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	last := a.publish(t, 20)[19]
	v := followLive(t, h.Log, events.Mark{})
	v.await(t, last.Position)
	h.Recreate(t)
	wantHistory(t, v.awaitEnd(t))
}

func testRolledBack(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	a.publish(t, 10)
	restore := h.Save(t)
	from := upTo(t, h.Log, a.publish(t, 5)[4].Position).Mark
	restore(t)
	wantHistory(t, refused(t, h.Log, from))
}

func testDiverged(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	a.publish(t, 10)
	restore := h.Save(t)
	from := upTo(t, h.Log, a.publish(t, 5)[4].Position).Mark
	restore(t)
	a.publish(t, 20) // the position is taken by another record
	wantHistory(t, refused(t, h.Log, from))
}

func testRolledBackLive(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	a.publish(t, 10)
	restore := h.Save(t)
	v := followLive(t, h.Log, events.Mark{})
	v.await(t, a.publish(t, 5)[4].Position)
	restore(t)
	wantHistory(t, v.awaitEnd(t))
}

// A follower that had not come as far as what was lost follows the same
// history: there is nothing to notice here, and other rules notice elsewhere.
func testRollbackBehind(t *testing.T, h Harness) {
	a := newAuthor(h.Log)
	kept := a.publish(t, 10)
	restore := h.Save(t)
	from := upTo(t, h.Log, kept[9].Position).Mark
	a.publish(t, 5)
	restore(t)
	want := a.publish(t, 3)
	same(t, read(t, h.Log, from, 3), want)
}

func testOtherMark(t *testing.T, h Harness) {
	want := newAuthor(h.Log).publish(t, 3)
	mark := upTo(t, h.Log, want[1].Position).Mark
	other := mark
	other.ID.Counter++
	wantHistory(t, refused(t, h.Log, other))
	other = mark
	other.Time += int64(time.Microsecond)
	wantHistory(t, refused(t, h.Log, other))
}
