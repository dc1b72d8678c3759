package node_test

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
	"github.com/raptorflow/tercet/internal/node"
)

// Beyond the calls that run and those that wait, a caller is turned away at once,
// and told when there may be room.
func TestGateTurnsAwayWhatDoesNotFit(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		g := node.NewGate(node.Limits{AtOnce: 2, Queue: 3})
		slow := func(context.Context) error { time.Sleep(4 * time.Second); return nil }
		if err := g.Do(t.Context(), slow); err != nil { // so long do they take
			t.Fatal(err)
		}
		var done atomic.Int64
		for range 5 {
			go func() {
				if err := g.Do(t.Context(), slow); err == nil {
					done.Add(1)
				}
			}()
		}
		synctest.Wait()
		if s := g.Stats(); s.Running != 2 || s.Waiting != 3 {
			t.Fatalf("%+v", s)
		}
		began := time.Now()
		err := g.Do(t.Context(), slow)
		var full *node.Overload
		if !errors.As(err, &full) || !errors.Is(err, node.ErrOverloaded) || time.Since(began) != 0 {
			t.Fatalf("%v after %v, want to be turned away at once", err, time.Since(began))
		}
		if full.RetryAfter != 8*time.Second || full.Running != 2 || full.Waiting != 3 {
			t.Fatalf("%+v; four have to end, two at a time, in 4s each", full)
		}
		// Who gives up leaves the queue, and who waited gets its turn.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		time.Sleep(5 * time.Second)
		if err := g.Do(ctx, slow); !errors.Is(err, node.ErrOverloaded) {
			t.Fatalf("%v, want ErrOverloaded", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := g.Stats(); done.Load() != 5 || s.Running+s.Waiting != 0 || s.Shed != 1 {
			t.Fatalf("%d done, %+v", done.Load(), s)
		}
	})
}

// A call within a call needs no place of its own.
func TestGateWithinItself(t *testing.T) {
	g := node.NewGate(node.Limits{AtOnce: 1, Queue: -1})
	other := node.NewGate(node.Limits{AtOnce: 1, Queue: -1})
	err := g.Do(t.Context(), func(ctx context.Context) error {
		return g.Do(ctx, func(ctx context.Context) error {
			return other.Do(ctx, func(context.Context) error {
				return g.Do(t.Context(), func(context.Context) error { return nil })
			})
		})
	})
	if !errors.Is(err, node.ErrOverloaded) {
		t.Fatalf("%v: only the call that does not come from within is turned away", err)
	}
}

// An origin that slows down under load is asked for less at once, until it is as
// quick as it should be, and for more again when it has recovered.
func TestGateAdapts(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		g := node.NewGate(node.Limits{AtOnce: 64, Target: 50 * time.Millisecond})
		var inside, capacity atomic.Int64
		capacity.Store(8)
		call := func(context.Context) error {
			n := inside.Add(1)
			defer inside.Add(-1)
			time.Sleep(10 * time.Millisecond * time.Duration(max(1, n/capacity.Load())))
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for range 64 {
			readers.Go(func() {
				for ctx.Err() == nil {
					_ = g.Do(ctx, call)
				}
			})
		}
		time.Sleep(20 * time.Second)
		if s := g.Stats(); s.Most > 56 || s.Most < 16 {
			t.Errorf("%d at once for an origin that is quick enough with some 48", s.Most)
		}
		capacity.Store(1)
		time.Sleep(20 * time.Second)
		if s := g.Stats(); s.Most > 8 {
			t.Errorf("%d at once for an origin that is quick enough with 5", s.Most)
		}
		capacity.Store(1000)
		time.Sleep(60 * time.Second)
		if s := g.Stats(); s.Most != 64 {
			t.Errorf("%d at once for an origin that has recovered", s.Most)
		}
		cancel()
		readers.Wait()
	})
}

// Loads that nobody waits for any more are bounded, too: each is a goroutine.
func TestLoadsUnderWayAreBounded(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{config: func(c *node.Config) { c.MaxLoads, c.LoadQueue, c.LoadTimeout = 2, 3, 20*time.Second }})
		stuck := func(ctx context.Context, _ string) (node.Loaded, error) {
			<-ctx.Done()
			return node.Loaded{}, ctx.Err()
		}
		var late, shed int
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := a.Get(ctx, fmt.Sprint("k", i), nil, node.ReadOptions{Load: stuck})
			cancel()
			var full *node.Overload
			switch {
			case errors.As(err, &full):
				shed++
			case errors.Is(err, context.DeadlineExceeded):
				late++
			default:
				t.Fatal(err)
			}
		}
		if late != 5 || shed != 15 || a.Stats().LoadsShed != 15 {
			t.Fatalf("%d waited, %d were turned away, %d counted", late, shed, a.Stats().LoadsShed)
		}
		many := a.GetMany(t.Context(), []string{"x", "y"}, node.BatchOptions{Load: func(context.Context, []string) (map[string]node.Loaded, error) { return nil, nil }})
		if !errors.Is(many[0].Err, node.ErrOverloaded) {
			t.Fatalf("a batch: %v", many[0].Err)
		}
		f.pass(21 * time.Second)
		if v, err := a.get("k0", node.ReadOptions{Load: loads("v")}); err != nil || v != "v" {
			t.Fatalf("%q, %v", v, err)
		}
		if s := a.Stats().Origin; s.Running+s.Waiting != 0 {
			t.Fatalf("%+v", s)
		}
	})
}
