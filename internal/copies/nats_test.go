package copies_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/copies"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/test/process"
)

type bench struct {
	t      *testing.T
	server *process.NATSServer
}

func newBench(t *testing.T) *bench {
	b := &bench{t, process.NATS(t)}
	if err := jslog.Create(t.Context(), b.connect(), "shop", events.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) connect() *nats.Conn {
	b.t.Helper()
	nc, err := nats.Connect(b.server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}

func (b *bench) carrier() *copies.NATS {
	b.t.Helper()
	c, err := copies.New(b.connect(), "shop")
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// kept is what a listener was sent.
type kept struct {
	mu  sync.Mutex
	all []string
}

func (k *kept) add(s node.Shipment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range s.Entries {
		k.all = append(k.all, string(e))
	}
}

func (k *kept) has(what string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.all {
		if s == what {
			return true
		}
	}
	return false
}

// listen listens as id until the test ends.
func (b *bench) listen(id events.NodeID, answer func(context.Context, int, []string) node.Shipment) *kept {
	b.t.Helper()
	k := &kept{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	c := b.carrier()
	go func() { ended <- c.Listen(ctx, id, k.add, answer) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			b.t.Errorf("listening ended with %v", err)
		}
	})
	return k
}

func nothing(context.Context, int, []string) node.Shipment { return node.Shipment{} }

// until sends what again and again until k has it.
func (b *bench) until(c *copies.NATS, to events.NodeID, what string, k *kept) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 15*time.Second)
	defer cancel()
	for !k.has(what) {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		err := c.Send(attempt, to, node.Shipment{Entries: []tiers.Entry{tiers.Entry(what)}})
		if err == nil {
			<-time.After(20 * time.Millisecond)
		}
		cancel()
		if ctx.Err() != nil {
			b.t.Fatalf("%q never came to %s: %v", what, to, err)
		}
	}
}

func TestShipmentsReachTheirNodeAlone(t *testing.T) {
	b := newBench(t)
	dotted, other := b.listen("host.example", nothing), b.listen("other", nothing)
	from := b.carrier()
	b.until(from, "host.example", "for the dotted one", dotted)
	b.until(from, "other", "for the other", other)
	if dotted.has("for the other") || other.has("for the dotted one") {
		t.Error("a copy reached another node")
	}
}

// P18: the server is killed, and its consumers with it; copies come again.
func TestListenersOutliveTheServer(t *testing.T) {
	b := newBench(t)
	k := b.listen("a", nothing)
	from := b.carrier()
	b.until(from, "a", "before", k)
	b.server.Kill()
	b.server.Restart()
	b.until(from, "a", "after", k)
}

func TestQuestionsAreAnswered(t *testing.T) {
	b := newBench(t)
	b.listen("a", func(_ context.Context, partition int, keys []string) node.Shipment {
		s := node.Shipment{Partition: partition, At: 7}
		for _, k := range keys {
			s.Entries = append(s.Entries, tiers.Entry("copy of "+k))
		}
		return s
	})
	from := b.carrier()
	var s node.Shipment
	var err error
	for by := time.Now().Add(10 * time.Second); time.Now().Before(by); <-time.After(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s, err = from.Fetch(ctx, "a", 3, []string{"x", "y"})
		cancel()
		if err == nil {
			break // it listens by now
		}
	}
	if err != nil || s.Partition != 3 || s.At != 7 || len(s.Entries) != 2 || string(s.Entries[1]) != "copy of y" {
		t.Fatalf("got %+v, %v", s, err)
	}
}

// A node that does not answer is not waited for again and again.
func TestSilentNodeIsLeftAlone(t *testing.T) {
	b := newBench(t)
	hang := make(chan struct{})
	b.listen("a", func(context.Context, int, []string) node.Shipment { <-hang; return node.Shipment{} })
	defer close(hang)
	from := b.carrier()
	ask := func() time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := from.Fetch(ctx, "a", 0, []string{"k"}); err == nil {
			t.Fatal("answered")
		}
		return time.Since(began)
	}
	for range 3 {
		ask()
	}
	if took := ask(); took > 50*time.Millisecond {
		t.Errorf("the fourth question took %v", took)
	}
}
