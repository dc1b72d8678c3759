package scratch

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/tiers"
)

// source is a log in memory.
type source struct {
	*memlog.Log
	stream *memlog.Stream
}

func (s source) Bounds(context.Context) (first, last events.Mark, err error) {
	f, l := s.stream.Bounds()
	a, _ := s.stream.At(f)
	b, _ := s.stream.At(l)
	return a.Mark, b.Mark, nil
}

func (s source) MarkAt(_ context.Context, p events.Position) (events.Mark, error) {
	d, _ := s.stream.At(p)
	return d.Mark, nil
}

func write(t *testing.T, s *memlog.Stream, c ...events.Change) events.Position {
	t.Helper()
	b, err := events.AppendRecord(nil, events.Record{Changes: c})
	if err != nil {
		t.Fatal(err)
	}
	_, last := s.Bounds()
	return s.Append(events.ID{Publisher: events.Incarnation{1}, Counter: uint64(last) + 1}, b)
}

func put(t *testing.T, key, value string, life time.Duration, tags ...string) *events.Put {
	t.Helper()
	e, err := tiers.Append(nil, &tiers.Header{Key: key, Tags: tags, Created: time.Now(), Expiry: time.Now().Add(life)}, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return &events.Put{Key: key, Entry: e}
}

// A scratch node answers, at each place of the log, what a node answered there,
// and the log never hears of it.
func TestTimeTravel(t *testing.T) {
	stream := memlog.NewStream()
	l := stream.Connect(memlog.Faults{})
	defer l.Close()
	write(t, stream, &events.EpochChange{Epoch: 3})
	const gone = ""
	type answers struct {
		at   events.Position
		a, b string
	}
	want := []answers{
		{write(t, stream, put(t, "a", "a1", time.Hour)), "a1", gone},
		{write(t, stream, put(t, "b", "b1", time.Hour, "tag")), "a1", "b1"},
		{write(t, stream, put(t, "a", "a2", time.Hour)), "a2", "b1"},
		{write(t, stream, &events.Invalidate{Scope: events.Scope{Tags: []string{"tag"}}}), "a2", gone},
		{write(t, stream, &events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"a"}}, Deadline: time.Now()}), gone, gone},
		{write(t, stream, &events.End{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"a"}}}), gone, gone},
		{write(t, stream, put(t, "b", "b2", time.Nanosecond)), gone, gone}, // has no life, now or then
		{write(t, stream, put(t, "a", "a3", time.Hour)), "a3", gone},
		{write(t, stream, &events.EpochChange{Epoch: 4}), gone, gone},
	}
	_, end := stream.Bounds()
	for _, w := range want {
		s, err := Open(t.Context(), Config{Settings: events.DefaultSettings(), Sources: []replay.Source{source{l, stream}}, To: []events.Position{w.at}})
		if err != nil {
			t.Fatal(w.at, err)
		}
		for key, value := range map[string]string{"a": w.a, "b": w.b} {
			if got := get(t, s.Node(), key); got != value {
				t.Errorf("at %d: %s is %q, want %q", w.at, key, got, value)
			}
		}
		// Written here, it is there, and nowhere else.
		if _, err := s.Node().Put(t.Context(), "c", []byte("mine"), node.PutOptions{}); err != nil {
			t.Error(err)
		}
		if got := get(t, s.Node(), "c"); got != "mine" {
			t.Errorf("own write reads %q", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, last := stream.Bounds(); last != end {
		t.Errorf("the log went from %d to %d", end, last)
	}
}

// What had not expired then is there, though it has expired since.
func TestTimeStandsStill(t *testing.T) {
	stream := memlog.NewStream()
	l := stream.Connect(memlog.Faults{})
	defer l.Close()
	write(t, stream, &events.EpochChange{Epoch: 3})
	e, err := tiers.Append(nil, &tiers.Header{Key: "k", Created: time.Now(), Expiry: time.Now().Add(200 * time.Millisecond)}, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	at := write(t, stream, &events.Put{Key: "k", Entry: e})
	for deadline := time.Now().Add(10 * time.Second); !e.Expired(time.Now().UnixMilli()); {
		if time.Now().After(deadline) {
			t.Fatal("does not expire")
		}
	}
	s, err := Open(t.Context(), Config{Settings: events.DefaultSettings(), Sources: []replay.Source{source{l, stream}}, To: []events.Position{at}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := get(t, s.Node(), "k"); got != "v" {
		t.Errorf("%q", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(t.Context(), Config{Settings: events.DefaultSettings()}); !errors.Is(err, events.ErrInvalid) {
		t.Error(err)
	}
	stream := memlog.NewStream()
	l := stream.Connect(memlog.Faults{})
	defer l.Close()
	if _, err := Open(t.Context(), Config{Settings: events.DefaultSettings(), Sources: []replay.Source{source{l, stream}}, To: []events.Position{4}}); !errors.Is(err, events.ErrInvalid) {
		t.Error(err)
	}
}

func get(t *testing.T, n *node.Node, key string) string {
	t.Helper()
	r, err := n.Get(t.Context(), key, nil, node.ReadOptions{})
	if errors.Is(err, node.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Clone(r.Entry.Payload()))
}
