package warmer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer"
	"github.com/raptorflow/tercet/internal/warmer/hotset"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

// tape is a log that plays what it is fed.
type tape struct{ feed chan feed }

type feed struct {
	records []events.Delivery
	err     error
}

func (l *tape) Follow(ctx context.Context, from events.Mark, sink events.Sink) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f := <-l.feed:
			if f.err != nil {
				return f.err
			}
			if err := sink(f.records); err != nil {
				return err
			}
		}
	}
}

type radio chan []byte

func (r radio) Follow(ctx context.Context, fn func([]byte)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-r:
			fn(b)
		}
	}
}

// ledger is a queue that remembers what was pushed and when.
type ledger struct {
	mu   sync.Mutex
	all  []wire.Request
	when []time.Time
	fail error
}

func (l *ledger) Push(_ context.Context, q wire.Request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.all = append(l.all, q)
	l.when = append(l.when, time.Now())
	return nil
}

func (l *ledger) keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, q := range l.all {
		out = append(out, q.Keys...)
	}
	slices.Sort(out)
	return out
}

type rig struct {
	t     *testing.T
	logs  []*tape
	radio radio
	queue *ledger
	w     *warmer.Warmer
	next  events.Position
}

// run starts a warmer of n partitions on virtual time; a key's last byte picks
// its partition.
func run(t *testing.T, n int, c warmer.Config, body func(*rig)) {
	clocktest.Bubble(t, func(t *testing.T) {
		hot, err := hotset.New(warmer.DefaultHotset(100))
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, radio: make(radio), queue: &ledger{}}
		d := warmer.Deps{Accesses: r.radio, Queue: r.queue, Predictor: hot,
			Partition: func(key string) int { return int(key[len(key)-1]) % n }}
		for range n {
			l := &tape{feed: make(chan feed)}
			r.logs = append(r.logs, l)
			d.Logs = append(d.Logs, l)
		}
		if r.w, err = warmer.New(d, c); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.w.Run(ctx) }()
		body(r)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func (r *rig) reads(keys ...string) {
	r.t.Helper()
	s := wire.Summary{Node: "n", Window: time.Second}
	for _, k := range keys {
		s.Reads = append(s.Reads, wire.Read{Key: k, Count: 1000, Tags: []string{"t"}})
	}
	b, err := s.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.radio <- b
	synctest.Wait()
}

func (r *rig) invalidate(partition int, age time.Duration, scope events.Scope) events.Position {
	r.t.Helper()
	b, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{&events.Invalidate{Scope: scope}}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.next++
	r.logs[partition].feed <- feed{records: []events.Delivery{{
		Mark: events.Mark{Position: r.next, Time: time.Now().Add(-age).UnixNano()}, Data: b,
	}}}
	synctest.Wait()
	return r.next
}

// pass lets virtual time pass, and what happens in it come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestHotKeyIsRequestedAfterItSettled(t *testing.T) {
	run(t, 1, warmer.Config{}, func(r *rig) {
		r.reads("hot")
		began := time.Now()
		r.invalidate(0, 0, events.Scope{Keys: []string{"hot", "unread"}})
		last := r.invalidate(0, 0, events.Scope{Tags: []string{"t"}})
		pass(10 * time.Second)
		if got := r.queue.keys(); !slices.Equal(got, []string{"hot"}) {
			t.Fatalf("requests for %q", got)
		}
		q, when := r.queue.all[0], r.queue.when[0]
		if q.Position != last {
			t.Errorf("position %d, want that of the last fence, %d", q.Position, last)
		}
		if d := when.Sub(began); d < 50*time.Millisecond || d > 150*time.Millisecond {
			t.Errorf("requested after %v, want 50 to 150 ms", d)
		}
		if want := when.Add(10 * time.Second); q.Deadline.Sub(want).Abs() > time.Millisecond {
			t.Errorf("deadline %v, want %v", q.Deadline, want)
		}
		if c := r.w.Counters(); c.Requests != 1 || c.Victims != 2 || c.Records != 2 || c.Settling != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestThePastIsIgnored(t *testing.T) {
	run(t, 1, warmer.Config{}, func(r *rig) {
		r.reads("hot")
		r.invalidate(0, 2*time.Minute, events.Scope{All: true})
		pass(10 * time.Second)
		if got := r.queue.keys(); got != nil {
			t.Errorf("requests for %q", got)
		}
		if c := r.w.Counters(); c.PastRecords != 1 || c.Victims != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestAFenceOfEverythingIsPaced(t *testing.T) {
	run(t, 1, warmer.Config{Rate: 10, Burst: 5}, func(r *rig) {
		var keys []string
		for i := range 40 {
			keys = append(keys, fmt.Sprintf("k%d", i))
		}
		r.reads(keys...)
		r.invalidate(0, 0, events.Scope{All: true})
		pass(time.Minute)
		if got := r.queue.keys(); len(got) != 40 {
			t.Fatalf("%d requests, want 40", len(got))
		}
		first, last := r.queue.when[0], r.queue.when[39]
		if d := last.Sub(first); d < 3400*time.Millisecond || d > 3700*time.Millisecond {
			t.Errorf("40 requests within %v, want (40-5)/10 s", d)
		}
	})
}

func TestAKeyThatDiesOftenIsRequestedOncePerInterval(t *testing.T) {
	run(t, 1, warmer.Config{}, func(r *rig) {
		r.reads("hot")
		for range 100 { // 10 s
			r.invalidate(0, 0, events.Scope{Keys: []string{"hot"}})
			pass(100 * time.Millisecond)
		}
		if n := len(r.queue.keys()); n < 9 || n > 11 {
			t.Errorf("%d requests in 10 s, want about one per second", n)
		}
	})
}

func TestPositionIsOfTheKeysOwnPartition(t *testing.T) {
	run(t, 2, warmer.Config{}, func(r *rig) {
		r.reads("k0", "k1")
		p0 := r.invalidate(0, 0, events.Scope{All: true})
		p1 := r.invalidate(1, 0, events.Scope{All: true})
		pass(10 * time.Second)
		got := map[string]events.Position{}
		for _, q := range r.queue.all {
			got[q.Keys[0]] = q.Position
		}
		if len(r.queue.all) != 2 || got["k0"] != p0 || got["k1"] != p1 {
			t.Errorf("%v, want k0 at %d and k1 at %d", got, p0, p1)
		}
	})
}

func TestGoesOnAfterTroubles(t *testing.T) {
	run(t, 1, warmer.Config{}, func(r *rig) {
		r.reads("hot")
		r.radio <- []byte("nonsense")
		r.logs[0].feed <- feed{err: &events.HistoryError{At: 1, Evidence: "test"}}
		pass(5 * time.Second)
		r.queue.fail = errors.New("away")
		r.invalidate(0, 0, events.Scope{All: true})
		pass(5 * time.Second)
		r.queue.fail = nil
		r.invalidate(0, 0, events.Scope{All: true})
		pass(5 * time.Second)
		c := r.w.Counters()
		if c.BadSummaries != 1 || c.Resets != 1 || c.LostRequests != 1 || c.Requests != 1 {
			t.Errorf("%+v", c)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	hot, err := hotset.New(warmer.DefaultHotset(0))
	if err != nil {
		t.Fatal(err)
	}
	ok := warmer.Deps{Logs: []warmer.Follower{&tape{}}, Accesses: make(radio), Queue: &ledger{}, Predictor: hot}
	two := ok
	two.Logs = append(two.Logs, &tape{})
	for name, tc := range map[string]struct {
		d warmer.Deps
		c warmer.Config
	}{
		"no deps":           {},
		"no partition":      {d: two},
		"negative deadline": {ok, warmer.Config{Deadline: -1}},
		"negative rate":     {ok, warmer.Config{Rate: -1}},
		"negative settle":   {ok, warmer.Config{Settle: -1}},
	} {
		if _, err := warmer.New(tc.d, tc.c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := warmer.New(ok, warmer.Config{}); err != nil {
		t.Error(err)
	}
}
