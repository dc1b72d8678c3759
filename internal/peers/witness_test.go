package peers

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/test/process"
)

func testimony(e events.Epoch, p events.Position, d byte) node.Testimony {
	return node.Testimony{Epoch: e, Position: p, Digest: events.Digest{d}}
}

// circle is some members and who of them is known to run.
type circle struct {
	t       *testing.T
	server  *process.NATSServer
	members []*Witness
}

func (c *circle) join() *Witness {
	c.t.Helper()
	nc, err := nats.Connect(c.server.URL())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	w, err := NewWitness(nc, "shop", events.Incarnation{byte(len(c.members) + 1)}, func() (all []events.Incarnation) {
		for _, m := range c.members {
			all = append(all, m.self)
		}
		return all
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil { // the server knows that it listens
		c.t.Fatal(err)
	}
	c.members = append(c.members, w)
	return w
}

func (c *circle) raise(w *Witness, from, to, want node.Testimony) {
	c.t.Helper()
	if got, err := w.Raise(c.t.Context(), 3, from, to); err != nil || got != want {
		c.t.Fatalf("raise from %v to %v: %v, %v, want %v", from, to, got, err, want)
	}
}

func (c *circle) reads(w *Witness, want node.Testimony) {
	c.t.Helper()
	if got, err := w.Read(c.t.Context(), 3); err != nil || got != want {
		c.t.Fatalf("read %v, %v, want %v", got, err, want)
	}
}

func TestMembersWitness(t *testing.T) {
	c := &circle{t: t, server: process.NATS(t)}
	none := node.Testimony{}
	a := c.join()
	c.reads(a, none) // alone it is its own witness
	c.raise(a, none, testimony(1, 5, 5), testimony(1, 5, 5))
	b := c.join()
	c.reads(b, testimony(1, 5, 5))
	// What was not compared is not replaced; the whole circle says so.
	c.raise(b, none, testimony(1, 9, 9), testimony(1, 5, 5))
	c.raise(b, testimony(1, 5, 5), testimony(1, 9, 9), testimony(1, 9, 9))
	other, err := a.Read(t.Context(), 4)
	if err != nil || other != none {
		t.Fatalf("another partition: %v, %v", other, err)
	}
	// A member that ends leaves what it was told with the others, and one that
	// joins learns of it.
	a.nc.Close()
	c.reads(b, testimony(1, 9, 9))
	joined := c.join()
	c.reads(joined, testimony(1, 9, 9))
	c.raise(joined, none, testimony(2, 1, 1), testimony(1, 9, 9))
	c.raise(joined, testimony(1, 9, 9), testimony(2, 1, 1), testimony(2, 1, 1))
	c.reads(b, testimony(2, 1, 1))
}

// Members that are known and don't answer are no witness; and they are not
// waited for again and again.
func TestSilentMembersAreNoWitness(t *testing.T) {
	c := &circle{t: t, server: process.NATS(t)}
	a, b, gone := c.join(), c.join(), c.join()
	gone.Close()
	b.Close()
	if err := errors.Join(gone.nc.Flush(), b.nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(t.Context(), 3); !errors.Is(err, ErrAlone) {
		t.Fatalf("read: %v, want alone", err)
	}
	if _, err := a.Raise(t.Context(), 3, node.Testimony{}, testimony(1, 1, 1)); !errors.Is(err, ErrAlone) {
		t.Fatalf("raise: %v, want alone", err)
	}
	// Against a question, its own word is enough.
	c.reads(a, testimony(1, 1, 1))
	c.raise(a, node.Testimony{}, testimony(1, 2, 2), testimony(1, 1, 1))
	c.members = []*Witness{a, gone, c.join()}
	for range mostMissed {
		c.reads(a, testimony(1, 1, 1))
	}
	if got, _ := a.awaited(); len(got) != 1 || got[gone.self] {
		t.Fatalf("still waits for %v", got)
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
