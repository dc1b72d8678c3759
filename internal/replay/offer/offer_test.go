package offer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/tiers"
)

// source is a log in memory that a test writes.
type source struct {
	*memlog.Log
	stream *memlog.Stream
	t      *testing.T
}

func newSource(t *testing.T) source {
	s := memlog.NewStream()
	l := s.Connect(memlog.Faults{})
	t.Cleanup(l.Close)
	return source{l, s, t}
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

func (s source) add(c ...events.Change) events.Position {
	s.t.Helper()
	b, err := events.AppendRecord(nil, events.Record{Changes: c})
	if err != nil {
		s.t.Fatal(err)
	}
	_, last := s.stream.Bounds()
	return s.stream.Append(events.ID{Publisher: events.Incarnation{1}, Counter: uint64(last) + 1}, b)
}

func (s source) put(key, value string, tags ...string) *events.Put {
	return s.putUntil(key, value, time.Now().Add(time.Hour), tags...)
}

func (s source) putUntil(key, value string, end time.Time, tags ...string) *events.Put {
	s.t.Helper()
	e, err := tiers.Append(nil, &tiers.Header{Key: key, Tags: tags, Created: time.Now(), Expiry: end}, []byte(value))
	if err != nil {
		s.t.Fatal(err)
	}
	return &events.Put{Key: key, Entry: e}
}

func versioned(c *events.Put, n uint64) *events.Put {
	c.Version = events.Version{N: n, Known: true}
	return c
}

// receiver is a node's door: it judges the voucher by the log, as a node that has
// applied it does, and notes what came.
type receiver struct {
	t     *testing.T
	of    source
	world *coherence.World
	got   map[string]string // key: value@birth
	after func()            // is called behind each shipment
}

func (r *receiver) Send(_ context.Context, _ events.NodeID, s node.Shipment) error {
	r.t.Helper()
	for p := r.world.Applied() + 1; p <= s.At; p++ {
		d, ok := r.of.stream.At(p)
		if !ok {
			continue
		}
		rec, err := events.DecodeRecord(d.Data)
		r.world.Apply(coherence.Step{Mark: d.Mark, Record: rec, Err: err})
	}
	if d, known := r.world.DigestAt(s.At); !known || d != s.Digest || s.Epoch != r.world.Epoch() {
		r.t.Errorf("voucher at %d: digest %v of epoch %v, the log has %v of %v", s.At, s.Digest, s.Epoch, d, r.world.Epoch())
	}
	for _, e := range s.Entries {
		if e.Birth() > s.At || e.Epoch() != s.Epoch {
			r.t.Errorf("%s of epoch %v, born at %d, is not what the voucher at %d covers", e.Key(), e.Epoch(), e.Birth(), s.At)
		}
		r.got[e.Key()] = fmt.Sprintf("%s@%d", e.Payload(), e.Birth())
	}
	if r.after != nil {
		r.after()
	}
	return nil
}

func (r *receiver) Fetch(_ context.Context, _ events.NodeID, _ int, keys []string) (node.Shipment, error) {
	var s node.Shipment
	for _, k := range keys {
		if r.got[k] != "" {
			s.Entries = append(s.Entries, tiers.Entry{})
		}
	}
	return s, nil
}

func (r *receiver) Listen(context.Context, events.NodeID, func(node.Shipment), func(context.Context, int, []string) node.Shipment) error {
	return nil
}

func offer(t *testing.T, s source, f replay.Filter, after func()) (Result, map[string]string) {
	t.Helper()
	to := &receiver{t: t, of: s, world: coherence.New(), got: map[string]string{}, after: after}
	r, err := Run(t.Context(), Config{Source: s, To: "n", Replicas: to, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Held(t.Context(), to, "n", 0, r.Keys); n != len(r.Keys) || err != nil {
		t.Errorf("%d of %d keys are held, %v", n, len(r.Keys), err)
	}
	return r, to.got
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for k := range got {
		if want[k] == "" {
			t.Errorf("%s: offered %s, should not be", k, got[k])
		}
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: offered %q, want %s", k, got[k], v)
		}
	}
}

// What is alive at the log's end is offered, with the birth of its Put, and
// nothing else is.
func TestOffersWhatIsAlive(t *testing.T) {
	s := newSource(t)
	s.add(&events.EpochChange{Epoch: 5})
	s.add(s.put("lost", "x")) // 2
	s.add(&events.EpochChange{Epoch: 6})
	s.add(s.put("fenced", "x"), s.put("kept", "v")) // 4
	s.add(s.put("tagged", "x", "t"), s.put("under:a", "x"), s.put("globbed-1", "x"))
	s.add(s.put("again", "1")) // 6
	s.add(s.put("again", "2"))
	s.add(&events.Invalidate{Scope: events.Scope{Keys: []string{"fenced"}, Tags: []string{"t"}, Prefixes: []string{"under:"}, Globs: []string{"globbed-*"}}}) // 8
	s.add(s.put("tagged2", "v", "t"), &events.Put{Key: "large"})
	s.add(s.put("soft", "x")) // 10
	s.add(&events.Invalidate{Scope: events.Scope{Keys: []string{"soft"}}, Soft: true})
	s.add(s.put("bracketed", "x")) // 12
	s.add(&events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"bracketed"}}, Deadline: time.Now()})
	s.add(s.putUntil("over", "x", time.Now().Add(-time.Second)))
	s.add(versioned(s.put("row", "new"), 9)) // 15
	s.add(versioned(s.put("row", "old"), 8))
	r, got := offer(t, s, replay.Filter{}, nil)
	same(t, got, map[string]string{"kept": "v@4", "again": "2@7", "tagged2": "v@9", "row": "new@15"})
	r.Keys = nil
	want := Result{Offered: 4, Dead: 8, Expired: 1, NotInline: 1, Outrun: 1}
	if fmt.Sprint(r) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", r, want)
	}
	_, got = offer(t, s, replay.Filter{Keys: []string{"kept"}}, nil)
	same(t, got, map[string]string{"kept": "v@4"})
}

// In a log that was trimmed since its epoch began, the digest is a member's, and
// of rows nobody knows which version is the highest.
func TestTrimmed(t *testing.T) {
	s := newSource(t)
	s.add(&events.EpochChange{Epoch: 5})
	s.add(versioned(s.put("row", "new"), 9))
	for i := range 4 {
		s.add(s.put(fmt.Sprint("k", i), "v"))
	}
	s.stream.Trim(4)
	s.add(versioned(s.put("row", "old"), 8)) // 7
	to := &receiver{t: t, of: s, world: coherence.New(), got: map[string]string{}}
	if _, err := Run(t.Context(), Config{Source: s, Replicas: to}); !errors.Is(err, ErrNoBase) {
		t.Errorf("without a pulse: %v", err)
	}
	// A member that saw it all says where it is.
	before := events.Digest{3}
	s.add(&events.Pulse{
		Node: "m", Incarnation: events.Incarnation{2}, Number: 1, Epoch: 77, Applied: 7,
		Before: before, Digest: before.Next(events.ID{Publisher: events.Incarnation{1}, Counter: 7}),
	})
	r, got := offer(t, s, replay.Filter{}, nil)
	same(t, got, map[string]string{"k1": "v@4", "k2": "v@5", "k3": "v@6"})
	if r.Unsure != 1 {
		t.Errorf("%+v", r)
	}
}

// What dies while the offer is under way is not offered any more, and vouchers
// keep up with the log.
func TestTheLogGoesOn(t *testing.T) {
	s := newSource(t)
	s.add(&events.EpochChange{Epoch: 5})
	big := string(make([]byte, shipment*2/3))
	for i := range 3 {
		s.add(s.put(fmt.Sprint("k", i), big)) // a shipment each
	}
	now := time.Now()
	shipments := 0
	to := &receiver{t: t, of: s, world: coherence.New(), got: map[string]string{}, after: func() {
		if shipments++; shipments == 1 {
			s.add(&events.Invalidate{Scope: events.Scope{Keys: []string{"k1"}}})
			now = now.Add(2 * fresh)
		}
	}}
	r, err := Run(t.Context(), Config{Source: s, Replicas: to, Now: func() time.Time { return now }})
	if err != nil || r.Offered != 2 || r.Dead != 1 || !slices.Equal(r.Keys, []string{"k0", "k2"}) {
		t.Errorf("%+v, %v", r, err)
	}
}
