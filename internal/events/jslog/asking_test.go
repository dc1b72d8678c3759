package jslog

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/process"
)

func connected(t *testing.T) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(process.NATS(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// The answer to a request that was given up is not taken for that to the next
// one: it would name another record's place.
func TestLateAnswers(t *testing.T) {
	nc := connected(t)
	q := asking{nc: nc}
	defer q.close()
	var late *nats.Msg
	if _, err := nc.Subscribe("svc", func(m *nats.Msg) {
		if late == nil {
			late = m // not answered in time
			return
		}
		_ = late.Respond([]byte("late"))
		_ = m.Respond([]byte("right"))
	}); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := q.ask(ctx, ctx, &nats.Msg{Subject: "svc"}, 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("not answered: %v, want DeadlineExceeded", err)
	}
	for range 3 {
		m, err := q.ask(ctx, ctx, &nats.Msg{Subject: "svc"}, 10*time.Second)
		if err != nil || string(m.Data) != "right" {
			t.Fatalf("%+v, %v, want its own answer", m, err)
		}
	}
}

func TestHowAskingEnds(t *testing.T) {
	nc := connected(t)
	q := asking{nc: nc}
	ctx := t.Context()
	if _, err := q.ask(ctx, ctx, &nats.Msg{Subject: "nobody"}, 10*time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("nobody listens: %v, want ErrNoResponders", err)
	}
	if _, err := nc.SubscribeSync("silent"); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := q.ask(ended, ctx, &nats.Msg{Subject: "silent"}, 10*time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v, want Canceled", err)
	}
	if _, err := q.ask(ctx, ended, &nats.Msg{Subject: "silent"}, 10*time.Second); !errors.Is(err, events.ErrClosed) {
		t.Errorf("closed: %v, want ErrClosed", err)
	}
}

// Subscriptions are as many as are asking, a few when nobody is, and none in
// the end.
func TestAskersAreKeptWithinBounds(t *testing.T) {
	nc := connected(t)
	q := asking{nc: nc}
	if _, err := nc.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	before := nc.NumSubscriptions()
	ctx := t.Context()
	var all sync.WaitGroup
	for i := range 8 * keptAskers {
		all.Go(func() {
			m, err := q.ask(ctx, ctx, &nats.Msg{Subject: "echo", Data: []byte{byte(i)}}, 10*time.Second)
			if err != nil || m.Data[0] != byte(i) {
				t.Errorf("request %d: %+v, %v", i, m, err)
			}
		})
	}
	all.Wait()
	if n := nc.NumSubscriptions() - before; n < 1 || n > keptAskers {
		t.Errorf("%d askers stay, want 1 to %d", n, keptAskers)
	}
	q.close()
	if n := nc.NumSubscriptions() - before; n != 0 {
		t.Errorf("%d askers are left", n)
	}
}
