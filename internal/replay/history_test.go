package replay

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/tiers"
)

// history is a log in memory that a test writes.
type history struct {
	t      testing.TB
	stream *memlog.Stream
	log    *memlog.Log
	next   uint64
}

func newHistory(t testing.TB) *history {
	h := &history{t: t, stream: memlog.NewStream()}
	h.log = h.stream.Connect(memlog.Faults{})
	t.Cleanup(h.log.Close)
	h.add(&events.EpochChange{Epoch: 7, Why: "begin"})
	return h
}

var _ Source = (*history)(nil)

func (h *history) Bounds(context.Context) (first, last events.Mark, err error) {
	f, l := h.stream.Bounds()
	a, _ := h.stream.At(f)
	b, _ := h.stream.At(l)
	return a.Mark, b.Mark, nil
}

func (h *history) MarkAt(_ context.Context, p events.Position) (events.Mark, error) {
	d, _ := h.stream.At(p)
	return d.Mark, nil
}

func (h *history) Read(ctx context.Context, first, last events.Position, sink events.Sink) error {
	return h.log.Read(ctx, first, last, sink)
}

// add appends one record and returns where it stands.
func (h *history) add(changes ...events.Change) events.Position {
	h.t.Helper()
	data, err := events.AppendRecord(nil, events.Record{Changes: changes})
	if err != nil {
		h.t.Fatal(err)
	}
	h.next++
	return h.stream.Append(events.ID{Publisher: events.Incarnation{1}, Counter: h.next}, data)
}

func put(t testing.TB, key, value string, tags ...string) *events.Put {
	t.Helper()
	e, err := tiers.Append(nil, &tiers.Header{Key: key, Tags: tags, Created: time.Now(), Expiry: time.Now().Add(time.Hour)}, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return &events.Put{Key: key, Entry: e}
}

func fence(s events.Scope) *events.Invalidate { return &events.Invalidate{Scope: s} }

// gather is a target that notes positions.
type gather struct{ at []events.Position }

func (g *gather) Take(_ context.Context, _ int, items []Item) error {
	for _, i := range items {
		g.at = append(g.at, i.Position)
	}
	return nil
}

// all returns the range of everything.
func all(t testing.TB, s Source) []Range {
	t.Helper()
	r, err := Resolve(t.Context(), 0, s, First(), Last())
	if err != nil {
		t.Fatal(err)
	}
	return []Range{r}
}

func (h *history) positions(o Options) []events.Position {
	h.t.Helper()
	var g gather
	if _, err := Run(h.t.Context(), []Source{h}, all(h.t, h), o, &g); err != nil {
		h.t.Fatal(err)
	}
	return g.at
}

func expect(t testing.TB, what string, got, want []events.Position) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
