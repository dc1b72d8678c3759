package natslink_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/warmer"
	"github.com/raptorflow/tercet/internal/warmer/access"
	"github.com/raptorflow/tercet/internal/warmer/hotset"
	"github.com/raptorflow/tercet/internal/warmer/natslink"
	"github.com/raptorflow/tercet/internal/warmer/wire"
	"github.com/raptorflow/tercet/internal/warmer/worker"
	"github.com/raptorflow/tercet/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, s *process.NATSServer) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// fleet is one domain with a warmer, a reporter and workers, all over NATS.
type fleet struct {
	t      *testing.T
	server *process.NATSServer
	domain *jslog.Domain
	report *access.Reporter
	warmer *warmer.Warmer
	pupil  *pupil
	next   uint64
}

// pupil is a hot set that notes how often it learnt each key.
type pupil struct {
	*hotset.Set
	mu    sync.Mutex
	reads map[string]uint64
}

func newPupil(t *testing.T) *pupil {
	t.Helper()
	hot, err := hotset.New(warmer.DefaultHotset(0))
	if err != nil {
		t.Fatal(err)
	}
	return &pupil{Set: hot, reads: make(map[string]uint64)}
}

func (p *pupil) Learn(now time.Time, s *wire.Summary) {
	p.Set.Learn(now, s)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range s.Reads {
		p.reads[r.Key] += r.Count
	}
}

// least returns how often the least read of the first keys was learnt.
func (p *pupil) least(keys int) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := p.reads[hotKey(0)]
	for i := range keys {
		least = min(least, p.reads[hotKey(i)])
	}
	return least
}

func hotKey(i int) string { return fmt.Sprintf("product:%d:page", i) }

func start(t *testing.T, workers ...worker.Reloader) *fleet {
	t.Helper()
	f := &fleet{t: t, server: process.NATS(t)}
	nc := connect(t, f.server)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := jslog.Create(ctx, nc, "shop", events.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.domain, err = jslog.Open(ctx, nc, "shop"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.domain.Close)
	accesses := natslink.NewAccesses(nc, "shop")
	if f.report, err = access.New(accesses, access.Config{Node: "n1", Sample: 1, Window: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	f.pupil = newPupil(t)
	work := newWork(t, nc)
	f.warmer, err = warmer.New(warmer.Deps{
		Logs: []warmer.Follower{f.domain.Log(0)}, Accesses: accesses, Queue: work, Predictor: f.pupil,
	}, warmer.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	f.run(f.report.Run)
	f.run(f.warmer.Run)
	for _, r := range workers {
		// Every worker has its own connection, as every node has.
		w, err := worker.New(newWork(t, connect(t, f.server)), r, worker.Config{Retry: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		f.run(w.Run)
	}
	return f
}

func newWork(t *testing.T, nc *nats.Conn) *natslink.Work {
	t.Helper()
	w, err := natslink.NewWork(nc, "shop")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs f until the test ends and waits for its end.
func (f *fleet) run(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.t.Errorf("Run returned %v", err)
		}
	})
}

func (f *fleet) invalidate(scope events.Scope) events.Position {
	f.t.Helper()
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{&events.Invalidate{Scope: scope}}})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	f.next++
	p, err := f.domain.Log(0).Publish(ctx, events.ID{Publisher: events.Incarnation{1}, Counter: f.next}, data)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// await polls until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 30s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// notes is a node that remembers what it was asked to load.
type notes struct {
	mu     sync.Mutex
	loaded map[string][]events.Position
	answer error
	asked  int
}

func (n *notes) Reload(_ context.Context, key string, at events.Position) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.answer != nil {
		return n.answer
	}
	if n.loaded == nil {
		n.loaded = make(map[string][]events.Position)
	}
	n.loaded[key] = append(n.loaded[key], at)
	return nil
}

func (n *notes) count() (keys, asked int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.loaded), n.asked
}

// readHot reads keys until each of the warmers knows all of them well: a summary
// may be cut off anywhere, and is lost on a warmer that doesn't listen yet.
func (f *fleet) readHot(keys int, others ...*pupil) {
	f.t.Helper()
	const enough = 100
	for i := range keys {
		for range enough {
			f.report.Record(hotKey(i), []string{"category:tea"})
		}
	}
	for _, p := range append(others, f.pupil) {
		await(f.t, "summary", func() bool {
			if p.least(keys) >= enough {
				return true
			}
			for i := range keys {
				f.report.Record(hotKey(i), []string{"category:tea"})
			}
			return false
		})
	}
	await(f.t, "record", func() bool { return f.warmer.Counters().Records > 0 })
}

func TestHotKeysAreLoadedAgain(t *testing.T) {
	var n notes
	f := start(t, &n)
	f.readHot(5)
	p := f.invalidate(events.Scope{Tags: []string{"category:tea"}})
	await(t, "load of 5 keys", func() bool { keys, _ := n.count(); return keys == 5 })
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, at := range n.loaded {
		if len(at) != 1 || at[0] != p {
			t.Errorf("%s was asked for at %v, want once at %d", key, at, p)
		}
	}
}

func TestANodeWithoutLoaderLeavesItToOneThatHasIt(t *testing.T) {
	without := &notes{answer: worker.ErrNoLoader}
	with := &notes{}
	f := start(t, without, with)
	f.readHot(10)
	f.invalidate(events.Scope{Prefixes: []string{"product:"}})
	await(t, "load of 10 keys", func() bool { keys, _ := with.count(); return keys == 10 })
}

func TestWarmingGoesOnAfterTheServerCameBack(t *testing.T) {
	var n notes
	f := start(t, &n)
	f.readHot(3)
	f.server.Kill()
	f.server.Restart()
	f.server.AwaitReady()
	f.invalidate(events.Scope{All: true})
	await(t, "load of 3 keys", func() bool { keys, _ := n.count(); return keys == 3 })
}

func TestTwoWarmersAskOnce(t *testing.T) {
	var n notes
	f := start(t, &n)
	nc := connect(t, f.server)
	pupil := newPupil(t)
	second, err := warmer.New(warmer.Deps{
		Logs: []warmer.Follower{f.domain.Log(0)}, Accesses: natslink.NewAccesses(nc, "shop"), Queue: newWork(t, nc), Predictor: pupil,
	}, warmer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	f.run(second.Run)
	f.readHot(4, pupil)
	await(t, "second warmer", func() bool { return second.Counters().Records > 0 })
	f.invalidate(events.Scope{All: true})
	await(t, "requests of both", func() bool {
		return f.warmer.Counters().Requests == 4 && second.Counters().Requests == 4
	})
	await(t, "load of 4 keys", func() bool { keys, _ := n.count(); return keys == 4 })
	if _, asked := n.count(); asked != 4 {
		t.Errorf("%d loads of 4 keys", asked)
	}
}
