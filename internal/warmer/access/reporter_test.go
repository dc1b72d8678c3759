package access_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/warmer/access"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

type inbox struct {
	mu   sync.Mutex
	all  []wire.Summary
	fail error
}

func (b *inbox) PublishAccess(_ context.Context, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	s, err := wire.DecodeSummary(data)
	if err != nil {
		return err
	}
	b.all = append(b.all, s)
	return nil
}

func run(t *testing.T, c access.Config, body func(*access.Reporter, *inbox)) {
	clocktest.Bubble(t, func(t *testing.T) {
		c.Node = "n1"
		b := &inbox{}
		r, err := access.New(b, c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		body(r, b)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func nextWindow() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestReportsWhatWasRead(t *testing.T) {
	run(t, access.Config{Sample: 1}, func(r *access.Reporter, b *inbox) {
		key := []byte("product:1")
		for range 3 {
			r.Touch(string(key))
		}
		r.Record("product:2", []string{"t1", "t2"})
		r.Record("product:2", nil)
		nextWindow()
		nextWindow() // nothing was read: no summary
		if len(b.all) != 1 {
			t.Fatalf("%d summaries", len(b.all))
		}
		want := wire.Summary{Node: "n1", Window: time.Second, Reads: []wire.Read{
			{Key: "product:1", Count: 3}, {Key: "product:2", Count: 2, Tags: []string{"t1", "t2"}},
		}}
		if got := b.all[0]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestSamplingKeepsTheScale(t *testing.T) {
	run(t, access.Config{Sample: 16}, func(r *access.Reporter, b *inbox) {
		const n = 160_000
		for range n {
			r.Touch("k")
		}
		nextWindow()
		// A sixteenth is drawn; ten standard deviations are ±15,500.
		if got := b.all[0].Reads[0].Count; got < n-15_500 || got > n+15_500 {
			t.Errorf("estimated %d of %d", got, n)
		}
	})
}

func TestIsBounded(t *testing.T) {
	run(t, access.Config{Sample: 1, Keys: 64 * 4, Report: 10}, func(r *access.Reporter, b *inbox) {
		for i := range 10_000 {
			for range 1 + i%7 {
				r.Touch(fmt.Sprint("key", i))
			}
		}
		nextWindow()
		c := r.Counters()
		if len(b.all[0].Reads) != 10 || c.Dropped == 0 {
			t.Fatalf("%d keys told, %+v", len(b.all[0].Reads), c)
		}
		for _, read := range b.all[0].Reads {
			if read.Count != 7 {
				t.Errorf("%+v is not among the most read", read)
			}
		}
	})
}

func TestASummaryFitsItsMessage(t *testing.T) {
	run(t, access.Config{Sample: 1, Report: wire.MaxReads}, func(r *access.Reporter, b *inbox) {
		for i := range 1000 {
			r.Record(fmt.Sprint(i, strings.Repeat("k", 4000)), []string{strings.Repeat("t", 500)})
		}
		nextWindow()
		if len(b.all) != 1 || len(b.all[0].Reads) < 40 {
			t.Errorf("%d summaries, %+v", len(b.all), r.Counters())
		}
	})
}

func TestWhatCannotBeSentIsLost(t *testing.T) {
	run(t, access.Config{Sample: 1}, func(r *access.Reporter, b *inbox) {
		b.fail = errors.New("away")
		r.Touch("a")
		nextWindow()
		b.fail = nil
		r.Touch("b")
		nextWindow()
		if c := r.Counters(); c.Lost != 1 || c.Summaries != 1 || len(b.all[0].Reads) != 1 {
			t.Errorf("%+v", c)
		}
	})
}

// TestReadsWhileSummariesGoOut runs in real time: the race detector learns of
// every order that virtual time makes.
func TestReadsWhileSummariesGoOut(t *testing.T) {
	b := &inbox{}
	r, err := access.New(b, access.Config{Node: "n1", Sample: 1, Window: time.Millisecond, Report: wire.MaxReads})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; r.Counters().Summaries < 50; i++ {
				r.Record(fmt.Sprint(i%100), []string{fmt.Sprint(g)})
			}
		})
	}
	wg.Wait()
	for sampled := r.Counters().Sampled; ; { // what came last goes out with the next window
		var told uint64
		b.mu.Lock()
		for _, s := range b.all {
			for _, read := range s.Reads {
				told += read.Count
			}
		}
		b.mu.Unlock()
		if told == sampled {
			break
		}
		if told > sampled {
			t.Fatalf("%d reads were told of %d", told, sampled)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
}

func TestAnUnpickedReadAllocatesNothing(t *testing.T) {
	r, err := access.New(&inbox{}, access.Config{Node: "n", Sample: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Touch("key") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []access.Config{
		{}, {Node: "n", Sample: -1}, {Node: "n", Window: time.Microsecond}, {Node: "n", Window: 2 * time.Hour},
		{Node: "n", Keys: 1}, {Node: "n", Report: wire.MaxReads + 1},
	} {
		if _, err := access.New(&inbox{}, c); !errors.Is(err, access.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func BenchmarkTouch(b *testing.B) {
	r, err := access.New(&inbox{}, access.Config{Node: "n"})
	if err != nil {
		b.Fatal(err)
	}
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprintf("product:%d:page", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			r.Touch(keys[i&1023])
		}
	})
}

// Windows end while shards are still empty and somebody begins to fill them.
// (Real time: the race detector needs threads that really meet.)
func TestReadsMeetTheEndOfAWindow(t *testing.T) {
	b := &inbox{}
	r, err := access.New(b, access.Config{Node: "n1", Sample: 1, Window: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running, readers sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	for reader := range 4 {
		readers.Go(func() {
			// So few reads that most shards are empty when a window ends.
			end := time.Now().Add(300 * time.Millisecond)
			for i := 0; time.Now().Before(end); i++ {
				r.Touch(fmt.Sprintf("key:%d", i*4+reader))
				for next := time.Now().Add(20 * time.Microsecond); time.Now().Before(next); {
					runtime.Gosched()
				}
			}
		})
	}
	readers.Wait()
	cancel()
	running.Wait()
}
