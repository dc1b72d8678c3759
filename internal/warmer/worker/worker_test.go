package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/wire"
	"github.com/raptorflow/tercet/internal/warmer/worker"
)

// stack is a source that hands out what lies on it, and takes back what is to
// come again.
type stack struct {
	mu        sync.Mutex
	ready     []*item
	arrived   chan struct{}
	done      []*item
	delivered int
	fail      error
}

type item struct {
	s     *stack
	data  []byte
	times int
	most  int
	delay []time.Duration
}

func (s *stack) put(it *item) {
	s.mu.Lock()
	s.ready = append(s.ready, it)
	s.mu.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

func (s *stack) Fetch(ctx context.Context, most int, fn func(worker.Delivery)) error {
	s.mu.Lock()
	fail := s.fail
	s.fail = nil
	n := min(most, len(s.ready))
	if fail != nil {
		n = 0
	}
	batch := s.ready[:n]
	s.ready = s.ready[n:]
	s.delivered += n
	s.mu.Unlock()
	if fail != nil {
		return fail
	}
	for _, it := range batch {
		it.times++
		fn(it)
	}
	if n > 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.arrived:
		return nil
	}
}

func (it *item) Data() []byte { return it.data }
func (it *item) Last() bool   { return it.times >= it.most }
func (it *item) Done() error {
	it.s.mu.Lock()
	defer it.s.mu.Unlock()
	it.s.done = append(it.s.done, it)
	return nil
}

func (it *item) Again(d time.Duration) error {
	it.delay = append(it.delay, d)
	time.AfterFunc(d, func() { it.s.put(it) })
	return nil
}

type reload func(ctx context.Context, key string, at events.Position) error

func (f reload) Reload(ctx context.Context, key string, at events.Position) error {
	return f(ctx, key, at)
}

// run gives body a running worker on virtual time.
func run(t *testing.T, c worker.Config, f reload, body func(*stack, *worker.Worker)) {
	clocktest.Bubble(t, func(t *testing.T) {
		s := &stack{arrived: make(chan struct{}, 1)}
		w, err := worker.New(s, f, c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		body(s, w)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func (s *stack) ask(t *testing.T, life time.Duration, most int, keys ...string) *item {
	t.Helper()
	q := wire.Request{Keys: keys, Position: 7, Deadline: time.Now().Add(life)}
	b, err := q.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	it := &item{s: s, data: b, most: most}
	s.put(it)
	return it
}

// pass lets virtual time pass, and what happens in it come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestCarriesOut(t *testing.T) {
	var got atomic.Value
	run(t, worker.Config{}, func(_ context.Context, key string, at events.Position) error {
		got.Store(fmt.Sprint(key, at))
		return nil
	}, func(s *stack, w *worker.Worker) {
		s.ask(t, time.Minute, 3, "k")
		synctest.Wait()
		if got.Load() != "k7" || len(s.done) != 1 || w.Counters().Reloaded != 1 {
			t.Errorf("%v, %d done, %+v", got.Load(), len(s.done), w.Counters())
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	var running, most atomic.Int64
	run(t, worker.Config{Concurrency: 3, Rate: 1e6, Burst: 1000}, func(context.Context, string, events.Position) error {
		n := running.Add(1)
		defer running.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(time.Second)
		return nil
	}, func(s *stack, w *worker.Worker) {
		for i := range 20 {
			s.ask(t, time.Hour, 3, fmt.Sprint(i))
		}
		pass(time.Minute)
		if most.Load() != 3 || w.Counters().Reloaded != 20 {
			t.Errorf("%d at a time, %+v", most.Load(), w.Counters())
		}
	})
}

func TestRateIsBounded(t *testing.T) {
	var loads atomic.Int64
	run(t, worker.Config{Rate: 10, Burst: 1}, func(context.Context, string, events.Position) error {
		loads.Add(1)
		return nil
	}, func(s *stack, w *worker.Worker) {
		for i := range 100 {
			s.ask(t, time.Hour, 3, fmt.Sprint(i))
		}
		pass(5 * time.Second)
		if n := loads.Load(); n < 49 || n > 52 {
			t.Errorf("%d loads in 5 s at 10 per second", n)
		}
	})
}

func TestWithoutLoaderItIsLeftToAnother(t *testing.T) {
	run(t, worker.Config{}, func(context.Context, string, events.Position) error {
		return fmt.Errorf("here: %w", worker.ErrNoLoader)
	}, func(s *stack, w *worker.Worker) {
		it := s.ask(t, time.Minute, 3, "k")
		pass(10 * time.Second)
		if it.times != 3 || len(s.done) != 1 || w.Counters().GivenUp != 1 || w.Counters().NoLoader != 3 || w.Counters().Failed != 0 {
			t.Errorf("%d deliveries, %d done, %+v", it.times, len(s.done), w.Counters())
		}
		for _, d := range it.delay {
			if d <= 0 || d > 100*time.Millisecond {
				t.Errorf("comes again after %v", d)
			}
		}
	})
}

// TestAFailingOriginIsAskedByOneAtATime: the budget shrinks.
func TestAFailingOriginIsAskedByOneAtATime(t *testing.T) {
	var running, late atomic.Int64
	var many atomic.Int64
	run(t, worker.Config{Concurrency: 8, Rate: 1e6, Burst: 1000}, func(context.Context, string, events.Position) error {
		n := running.Add(1)
		defer running.Add(-1)
		time.Sleep(100 * time.Millisecond)
		if late.Load() == 1 && n > 1 {
			many.Add(1)
		}
		return errors.New("down")
	}, func(s *stack, w *worker.Worker) {
		for i := range 40 {
			s.ask(t, time.Hour, 5, fmt.Sprint(i))
		}
		pass(time.Second)
		late.Store(1)
		pass(time.Minute)
		if many.Load() > 0 || w.Counters().GivenUp != 40 || w.Counters().Failed != 200 {
			t.Errorf("%d loads beside another, %+v", many.Load(), w.Counters())
		}
	})
}

func TestUselessRequestsEnd(t *testing.T) {
	run(t, worker.Config{}, func(context.Context, string, events.Position) error {
		t.Error("loaded")
		return nil
	}, func(s *stack, w *worker.Worker) {
		s.ask(t, -time.Second, 3, "late")
		s.put(&item{s: s, data: []byte("nonsense"), most: 3})
		pass(time.Second)
		if c := w.Counters(); len(s.done) != 2 || c.Expired != 1 || c.Malformed != 1 {
			t.Errorf("%d done, %+v", len(s.done), c)
		}
	})
}

func TestALoadEndsWithItsDeadline(t *testing.T) {
	var took time.Duration
	run(t, worker.Config{Timeout: time.Hour}, func(ctx context.Context, _ string, _ events.Position) error {
		began := time.Now()
		<-ctx.Done()
		took = time.Since(began)
		return ctx.Err()
	}, func(s *stack, w *worker.Worker) {
		s.ask(t, 3*time.Second, 2, "slow")
		pass(time.Minute)
		if took < 2*time.Second || took > 3*time.Second || w.Counters().Failed != 1 || w.Counters().Expired != 1 {
			t.Errorf("took %v, %+v", took, w.Counters())
		}
	})
}

func TestStoppingHandsBackAndWaits(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		s := &stack{arrived: make(chan struct{}, 1)}
		var ended atomic.Bool
		w, err := worker.New(s, reload(func(ctx context.Context, _ string, _ events.Position) error {
			<-ctx.Done()
			time.Sleep(time.Second) // a loader that is slow to obey
			ended.Store(true)
			return ctx.Err()
		}), worker.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		it := s.ask(t, time.Minute, 3, "k")
		synctest.Wait()
		cancel()
		<-done
		if !ended.Load() || len(it.delay) != 1 || it.delay[0] != 0 || w.Counters().Failed != 0 {
			t.Errorf("ended %v, handed back after %v, %+v", ended.Load(), it.delay, w.Counters())
		}
	})
}

func TestWhatMayNotBeStoredIsNotTriedAgain(t *testing.T) {
	run(t, worker.Config{}, func(context.Context, string, events.Position) error {
		return fmt.Errorf("origin: %w", worker.ErrNotStorable)
	}, func(s *stack, w *worker.Worker) {
		it := s.ask(t, time.Minute, 3, "k")
		pass(time.Minute)
		if c := w.Counters(); it.times != 1 || len(s.done) != 1 || c.NotStorable != 1 || c.Failed != 0 {
			t.Errorf("%d deliveries, %+v", it.times, c)
		}
	})
}

func TestFetchErrorsAreOvercome(t *testing.T) {
	run(t, worker.Config{}, func(context.Context, string, events.Position) error { return nil }, func(s *stack, w *worker.Worker) {
		synctest.Wait()
		s.mu.Lock()
		s.fail = errors.New("away")
		s.mu.Unlock()
		s.ask(t, time.Minute, 3, "k")
		pass(5 * time.Second)
		if c := w.Counters(); c.FetchErrors != 1 || c.Reloaded != 1 {
			t.Errorf("%+v", c)
		}
	})
}
