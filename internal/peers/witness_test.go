package peers

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/test/process"
)

func testimony(e events.Epoch, p events.Position, d byte) node.Testimony {
	return node.Testimony{Epoch: e, Position: p, Digest: events.Digest{d}}
}

// talking is a member's witness with its connection.
type talking struct {
	*Witness
	nc *nats.Conn
}

func member(t *testing.T, server *process.NATSServer, name byte) talking {
	t.Helper()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	party, err := WitnessParty(nc, "shop")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWitness(party, events.Incarnation{name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := nc.Flush(); err != nil { // the server knows that it listens
		t.Fatal(err)
	}
	return talking{w, nc}
}

func raises(t *testing.T, w talking, from, to, want node.Testimony) {
	t.Helper()
	if got, err := w.Raise(t.Context(), 3, from, to); err != nil || got != want {
		t.Fatalf("raise from %v to %v: %v, %v, want %v", from, to, got, err, want)
	}
}

func reads(t *testing.T, w talking, want node.Testimony) {
	t.Helper()
	var got node.Testimony
	for by := time.Now().Add(10 * time.Second); time.Now().Before(by); {
		var err error
		if got, err = w.Read(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
		runtime.Gosched() // what was told is on its way
	}
	t.Fatalf("read %v, want %v", got, want)
}

func TestMembersWitness(t *testing.T) {
	server := process.NATS(t)
	none := node.Testimony{}
	a := member(t, server, 1)
	reads(t, a, none)
	raises(t, a, none, testimony(1, 5, 5), testimony(1, 5, 5))
	b := member(t, server, 2)
	reads(t, b, testimony(1, 5, 5)) // it asked
	raises(t, a, testimony(1, 5, 5), testimony(1, 7, 7), testimony(1, 7, 7))
	reads(t, b, testimony(1, 7, 7)) // it was told
	// What was not compared is not replaced.
	raises(t, b, none, testimony(1, 9, 9), testimony(1, 7, 7))
	raises(t, b, testimony(1, 7, 7), testimony(1, 9, 9), testimony(1, 9, 9))
	reads(t, a, testimony(1, 9, 9))
	if other, err := a.Read(t.Context(), 4); err != nil || other != none {
		t.Fatalf("another partition: %v, %v", other, err)
	}
	// A member that ends leaves what it told with the others, and one that
	// joins learns of it before its first pulse sets out.
	a.Close()
	a.nc.Close()
	joined := member(t, server, 3)
	if got, err := joined.Read(t.Context(), 3); err != nil || got != testimony(1, 9, 9) {
		t.Fatalf("read %v, %v", got, err)
	}
	raises(t, joined, none, testimony(2, 1, 1), testimony(1, 9, 9))
	raises(t, joined, testimony(1, 9, 9), testimony(2, 1, 1), testimony(2, 1, 1))
	reads(t, b, testimony(2, 1, 1))
}

// A member that missed what others were told, and whose log has lost it, hears
// of it from who keeps it: at its next raise, however far its log has grown.
func TestEvidenceIsHeardOf(t *testing.T) {
	for name, to := range map[string]events.Position{"behind the evidence": 6, "beyond the evidence": 20} {
		t.Run(name, func(t *testing.T) {
			server := process.NATS(t)
			none := node.Testimony{}
			a, b := member(t, server, 1), member(t, server, 2)
			raises(t, a, none, testimony(1, 5, 5), testimony(1, 5, 5))
			reads(t, b, testimony(1, 5, 5))
			lost := testimony(1, 9, 0xff)
			b.mu.Lock()
			b.of(3).t = lost // by one who is gone; a was cut off
			b.mu.Unlock()
			raises(t, a, testimony(1, 5, 5), testimony(1, to, 1), testimony(1, to, 1))
			reads(t, a, lost)
			// It stays until it was compared, and b follows then.
			raises(t, a, testimony(1, to, 1), testimony(1, to+1, 2), lost)
			if to > lost.Position {
				raises(t, a, lost, testimony(1, 30, 3), testimony(1, to, 1))
			}
			raises(t, a, later(lost, testimony(1, to, 1)), testimony(1, 30, 3), testimony(1, 30, 3))
			for kept, by := (node.Testimony{}), time.Now().Add(10*time.Second); kept != testimony(1, 30, 3); runtime.Gosched() {
				if time.Now().After(by) {
					t.Fatalf("b keeps %v", kept)
				}
				b.mu.Lock()
				kept = b.of(3).t
				b.mu.Unlock()
			}
		})
	}
}

func later(a, b node.Testimony) node.Testimony {
	if a.Position > b.Position {
		return a
	}
	return b
}

// Two who raise at once object to each other, compare, and go on.
func TestConcurrentRaisers(t *testing.T) {
	server := process.NATS(t)
	a, b := member(t, server, 1), member(t, server, 2)
	at := func(p events.Position) node.Testimony { return testimony(1, p, byte(p)) } // one history
	var wg sync.WaitGroup
	for i, w := range []talking{a, b} {
		wg.Go(func() {
			from := node.Testimony{}
			for p := events.Position(i + 1); p < 4000; p += 2 {
				for tries := 0; ; tries++ {
					kept, err := w.Raise(t.Context(), 3, from, at(p))
					if err != nil || tries > 100 {
						t.Errorf("raise to %d: %v, %v", p, kept, err)
						return
					}
					if from = kept; kept.Position >= p {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	for _, w := range []talking{a, b} { // what is on its way may still object
		kept, err := w.Raise(t.Context(), 3, at(3999), at(4001))
		for tries := 0; err == nil && kept != at(4001) && tries < 100; tries++ {
			kept, err = w.Raise(t.Context(), 3, kept, at(4001))
		}
		if err != nil || kept != at(4001) {
			t.Errorf("in the end %v, %v", kept, err)
		}
	}
}

// hall is a party in one process: who speaks is heard at once, by all.
type hall struct {
	hear []func([]byte, func([]byte) error)
}

type place struct {
	*hall
	self int
}

func (p place) Tell(b []byte) error {
	for i, hear := range p.hear {
		if i != p.self {
			hear(b, func(answer []byte) error { p.hear[p.self](answer, nil); return nil })
		}
	}
	return nil
}

func (p place) Listen(hear func([]byte, func([]byte) error)) (end func(), err error) {
	p.hear[p.self] = hear
	return func() {}, nil
}

// What one member objects stands until it was compared, whatever others object
// meanwhile: it may be all that is left of a history that was lost. Only what
// follows from an objection takes its place.
func TestObjectionsAreAllCompared(t *testing.T) {
	h := &hall{hear: make([]func([]byte, func([]byte) error), 2)}
	h.hear[1] = func([]byte, func([]byte) error) {} // a speaker, of whom nobody keeps anything
	w, err := NewWitness(place{h, 0}, events.Incarnation{1})
	if err != nil {
		t.Fatal(err)
	}
	says := func(from, to node.Testimony) {
		h.hear[0](appendRaising(nil, raising{partition: 3, who: events.Incarnation{2}, from: from, to: to}), func([]byte) error { return nil })
	}
	common, own, lost := testimony(1, 5, 5), testimony(1, 6, 6), testimony(1, 8, 0xff)
	wants := func(from, to, want node.Testimony) {
		t.Helper()
		if got, err := w.Raise(t.Context(), 3, from, to); err != nil || got != want {
			t.Fatalf("raise from %v to %v: %v, %v, want %v", from, to, got, err, want)
		}
	}
	wants(node.Testimony{}, common, common)
	says(testimony(1, 7, 0xff), lost) // of a history that is gone
	says(testimony(1, 4, 4), own)     // of the one that goes on, from a place before ours
	says(own, testimony(1, 7, 7))     // and on from there
	says(testimony(1, 7, 7), testimony(1, 9, 9))
	if got := w.Keeps(3); len(got) != 3 {
		t.Fatalf("keeps %v, want three that are to be compared", got)
	}
	if got, err := w.Read(t.Context(), 3); err != nil || got != lost {
		t.Fatalf("read %v, %v, want %v", got, err, lost)
	}
	wants(common, testimony(1, 10, 10), lost)
	wants(lost, testimony(1, 10, 10), testimony(1, 9, 9))
	wants(testimony(1, 9, 9), testimony(1, 10, 10), testimony(1, 10, 10))
	// Members that can't be counted don't take the memory.
	for i := range 2 * mostObjections {
		says(testimony(2, 1, 1), testimony(2, events.Position(i+2), 2))
	}
	if got := w.Keeps(3); len(got) != 1+mostObjections {
		t.Fatalf("keeps %d testimonies", len(got))
	}
}

func FuzzRaising(f *testing.F) {
	f.Add(appendRaising(nil, raising{partition: 3, who: events.Incarnation{1}, from: testimony(1, 2, 3), to: testimony(1, 3, 4)}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := decodeRaising(b)
		if err != nil {
			return
		}
		if again, err := decodeRaising(appendRaising(nil, q)); err != nil || again != q {
			t.Fatalf("%+v became %+v, %v", q, again, err)
		}
	})
}
