package jslog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/test/process"
)

// traffic publishes from several clients and follows with one, until it is
// told to end, and then checks what the follower saw against what was
// acknowledged.
type traffic struct {
	ctx       context.Context
	stop      func()
	writers   sync.WaitGroup
	mu        sync.Mutex
	landed    map[events.Position]events.ID
	published atomic.Int64
	seen      atomic.Int64 // highest position delivered
	ids       []events.ID  // by position-1; written by the follower
	ended     chan error
}

func startTraffic(t *testing.T, url string, l events.Log) *traffic {
	t.Helper()
	v := &traffic{landed: map[events.Position]events.ID{}, ended: make(chan error, 1)}
	writing, stop := context.WithCancel(t.Context())
	v.stop = stop
	for w := range 4 {
		log := open(t, dial(t, url)).Log(0)
		v.writers.Go(func() {
			for n := uint64(1); writing.Err() == nil; n++ {
				id := events.ID{Publisher: events.Incarnation{0xee, byte(w)}, Counter: n}
				ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
				p, err := log.Publish(ctx, id, fmt.Appendf(nil, "%d-%d", w, n))
				cancel()
				if err != nil {
					t.Errorf("publish through the fault: %v", err)
					return
				}
				v.mu.Lock()
				v.landed[p] = id
				v.mu.Unlock()
				v.published.Add(1)
			}
		})
	}
	following, unfollow := context.WithCancel(t.Context())
	v.ctx = following
	go func() {
		v.ended <- l.Follow(following, events.Mark{}, func(batch []events.Delivery) error {
			for _, d := range batch {
				if int(d.Position) != len(v.ids)+1 {
					return fmt.Errorf("position %d behind %d", d.Position, len(v.ids))
				}
				v.ids = append(v.ids, d.ID)
			}
			v.seen.Store(int64(len(v.ids)))
			return nil
		})
	}()
	t.Cleanup(unfollow)
	return v
}

// more waits until n more records have been published and seen.
func (v *traffic) more(t *testing.T, n int64) {
	t.Helper()
	target := v.published.Load() + n
	v.await(t, func() bool { return v.published.Load() >= target && v.seen.Load() >= target })
}

func (v *traffic) await(t *testing.T, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		select {
		case err := <-v.ended:
			t.Fatalf("follower ended: %v", err)
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("no progress: %d published, %d seen", v.published.Load(), v.seen.Load())
		}
	}
}

// finish ends the traffic and judges it.
func (v *traffic) finish(t *testing.T) {
	t.Helper()
	v.stop()
	v.writers.Wait()
	var highest events.Position
	for p := range v.landed {
		highest = max(highest, p)
	}
	v.await(t, func() bool { return v.seen.Load() >= int64(highest) })
	if err := v.ctx.Err(); err != nil {
		t.Fatal(err)
	}
	seen := v.ids[:v.seen.Load()]
	counts := map[events.ID]int{}
	for _, id := range seen {
		counts[id]++
	}
	for p, id := range v.landed {
		if seen[p-1] != id {
			t.Errorf("acknowledged %s at %d, but %s was delivered there", id, p, seen[p-1])
		}
		if counts[id] != 1 {
			t.Errorf("%s was delivered %d times", id, counts[id])
		}
	}
	t.Logf("%d records acknowledged, all delivered once and in place", len(v.landed))
}

func TestServerKilledAndRestartedMidStream(t *testing.T) {
	f := newFixture(t)
	v := startTraffic(t, f.server.URL(), f.domain.Log(0))
	for range 3 {
		v.more(t, 500)
		f.server.Kill()
		f.server.Restart()
		f.server.AwaitReady()
	}
	v.more(t, 500)
	v.finish(t)
}

func TestServerPausedAndResumed(t *testing.T) {
	f := newFixture(t)
	v := startTraffic(t, f.server.URL(), f.domain.Log(0))
	v.more(t, 500)
	f.server.Pause()
	// Longer than a follower takes a consumer's silence and a publisher that
	// of an acknowledgement.
	pause := time.NewTimer(4 * time.Second)
	<-pause.C
	f.server.Resume()
	v.more(t, 500)
	v.finish(t)
}

func TestClusterLosesItsServersOneByOne(t *testing.T) {
	servers := process.NATSCluster(t, 3)
	url := process.ClusterURL(servers)
	f := &fixture{nc: dial(t, url)}
	s := events.DefaultSettings()
	s.Replicas = 3
	if err := jslog.Create(t.Context(), f.nc, domain, s); err != nil {
		t.Fatal(err)
	}
	f.domain = open(t, f.nc)
	v := startTraffic(t, url, f.domain.Log(0))
	for _, s := range servers {
		v.more(t, 200)
		s.Kill()
		v.more(t, 50) // the other two go on
		s.Restart()
		process.AwaitCluster(servers)
	}
	v.more(t, 200)
	v.finish(t)
}

// A consumer that is taken away is replaced, without a gap.
func TestConsumerDeletedUnderFollower(t *testing.T) {
	f := newFixture(t)
	v := startTraffic(t, f.server.URL(), f.domain.Log(0))
	stream, err := f.js(t).Stream(t.Context(), jslog.LogStream(domain, 0))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		v.more(t, 100)
		for name := range stream.ConsumerNames(t.Context()).Name() {
			_ = stream.DeleteConsumer(t.Context(), name)
		}
	}
	v.more(t, 100)
	v.finish(t)
}

// A stream that is deleted is waited for; the one that takes its place is not
// taken for it.
func TestStreamDeletedAndLaterRecreatedUnderFollower(t *testing.T) {
	f := newFixture(t)
	l := f.domain.Log(0)
	end := make(chan error, 1)
	attached := make(chan struct{}, 1)
	go func() {
		end <- l.Follow(t.Context(), events.Mark{}, func([]events.Delivery) error {
			attached <- struct{}{}
			return nil
		})
	}()
	<-attached
	c := f.config(t, jslog.LogStream(domain, 0))
	if err := f.js(t).DeleteStream(t.Context(), c.Name); err != nil {
		t.Fatal(err)
	}
	// Meanwhile nothing lands, and a publisher knows.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := l.Publish(ctx, events.ID{Counter: 1}, []byte("x"))
	if !errors.Is(err, events.ErrNotLanded) {
		t.Errorf("publish into nothing: %v", err)
	}
	select {
	case err := <-end:
		t.Fatalf("follower ended while the stream was missing: %v", err)
	default:
	}
	if _, err := f.js(t).CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := <-end; !errors.Is(err, events.ErrHistoryChanged) {
		t.Fatalf("follower ended with %v, want a changed history", err)
	}
}

// A stream that has taken over the log's subject acknowledges what it stores,
// and no node follows it.
func TestForeignStreamOnTheSubjectIsRefused(t *testing.T) {
	f := newFixture(t)
	c := f.config(t, jslog.LogStream(domain, 0))
	if err := f.js(t).DeleteStream(t.Context(), c.Name); err != nil {
		t.Fatal(err)
	}
	c.Name = "FOREIGN"
	foreign, err := f.js(t).CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = f.domain.Log(0).Publish(ctx, events.ID{Counter: 1}, []byte("x"))
	if !errors.Is(err, events.ErrNotLanded) {
		t.Errorf("publish past the log: %v", err)
	}
	_, err = f.domain.Log(0).PublishNext(ctx, events.Mark{}, events.ID{Counter: 2}, []byte("x"))
	if !errors.Is(err, events.ErrNotLanded) {
		t.Errorf("publish next past the log: %v", err)
	}
	if info, err := foreign.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("the foreign stream holds %d records, %v", info.State.Msgs, err)
	}
}

// While the connection is down nothing is sent, and that is what a publisher
// learns.
func TestCutOffPublisherKnowsThatNothingLanded(t *testing.T) {
	f := newFixture(t)
	f.server.Kill()
	for f.nc.Status() == nats.CONNECTED {
		time.Sleep(time.Millisecond) // until the client notices
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := f.domain.Log(0).Publish(ctx, events.ID{Counter: 7}, []byte("x"))
	if !errors.Is(err, events.ErrNotLanded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want not landed", err)
	}
	f.server.Restart()
	f.server.AwaitReady()
	f.awaitConnected(t)
	if p, err := f.domain.Log(0).Publish(t.Context(), events.ID{Counter: 8}, []byte("y")); err != nil || p != 2 {
		t.Fatalf("the next record: %d, %v; want 2", p, err)
	}
}

// Publishes whose outcome is unknown are bounded in number; beyond that a
// publisher waits, and knows that it did not send.
func TestUnknownOutcomesAreBounded(t *testing.T) {
	f := newFixture(t)
	f.server.Pause()
	defer f.server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	var unknown, refused atomic.Int64
	for i := range jslog.MaxPublishing + 50 {
		all.Go(func() {
			_, err := f.domain.Log(0).Publish(ctx, events.ID{Counter: uint64(i + 1)}, []byte("x"))
			switch {
			case errors.Is(err, events.ErrIndeterminate):
				unknown.Add(1)
			case errors.Is(err, events.ErrNotLanded):
				refused.Add(1)
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if unknown.Load() != jslog.MaxPublishing || refused.Load() != 50 {
		t.Errorf("%d unknown and %d refused, want %d and 50", unknown.Load(), refused.Load(), jslog.MaxPublishing)
	}
	f.server.Resume()
	n := 0
	enough := errors.New("enough")
	err := f.domain.Log(0).Follow(t.Context(), events.Mark{}, func(b []events.Delivery) error {
		if n += len(b); n >= 1+jslog.MaxPublishing {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Fatal(err)
	}
}

func TestClosedConnectionEndsFollow(t *testing.T) {
	f := newFixture(t)
	end := make(chan error, 1)
	attached := make(chan struct{}, 1)
	go func() {
		end <- f.domain.Log(0).Follow(t.Context(), events.Mark{}, func([]events.Delivery) error {
			attached <- struct{}{}
			return nil
		})
	}()
	<-attached
	f.nc.Close()
	if err := <-end; !errors.Is(err, events.ErrClosed) {
		t.Fatalf("got %v, want closed", err)
	}
	_, err := f.domain.Log(0).Publish(t.Context(), events.ID{Counter: 1}, []byte("x"))
	if !errors.Is(err, events.ErrNotLanded) {
		t.Fatalf("publish: %v", err)
	}
}

// P18: a consumer that lives, says so, and delivers nothing is found out by
// asking the stream.
func TestStalledConsumerIsReplaced(t *testing.T) {
	f := newFixture(t)
	seen := make(chan events.Position, 10)
	following, stop := context.WithCancel(t.Context())
	var follower sync.WaitGroup
	defer follower.Wait()
	defer stop()
	follower.Go(func() {
		_ = f.domain.Log(0).Follow(following, events.Mark{}, func(b []events.Delivery) error {
			seen <- b[len(b)-1].Position
			return nil
		})
	})
	<-seen
	stream, err := f.js(t).Stream(t.Context(), jslog.LogStream(domain, 0))
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if _, err := stream.PauseConsumer(t.Context(), name, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.domain.Log(0).Publish(t.Context(), events.ID{Counter: 1}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	select {
	case p := <-seen:
		if p != 2 {
			t.Fatalf("position %d", p)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the stalled consumer was not replaced")
	}
}

// A follower that returns leaves nothing behind on the server.
func TestFollowerTakesItsConsumerAway(t *testing.T) {
	f := newFixture(t)
	enough := errors.New("enough")
	for range 5 {
		if err := f.domain.Log(0).Follow(t.Context(), events.Mark{}, func([]events.Delivery) error { return enough }); err != enough {
			t.Fatal(err)
		}
	}
	if err := f.nc.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		stream, err := f.js(t).Stream(t.Context(), jslog.LogStream(domain, 0))
		if err != nil {
			t.Fatal(err)
		}
		n := stream.CachedInfo().State.Consumers
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d consumers left", n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Group commit over a real log: every caller is told where its change stands.
func TestCommitterOverRealLog(t *testing.T) {
	f := newFixture(t)
	c, err := groupcommit.New(f.domain.Log(0), groupcommit.Config{Publisher: events.Incarnation{5}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const callers, each = 32, 20
	var all sync.WaitGroup
	var mu sync.Mutex
	told := map[string]events.Position{}
	for i := range callers {
		all.Go(func() {
			for j := range each {
				key := fmt.Sprintf("%d:%d", i, j)
				p, _, err := c.Append(t.Context(), &events.Put{Key: key})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				told[key] = p
				mu.Unlock()
			}
		})
	}
	all.Wait()
	got := map[string]events.Position{}
	records := 0
	enough := errors.New("enough")
	err = f.domain.Log(0).Follow(t.Context(), events.Mark{}, func(b []events.Delivery) error {
		for _, d := range b {
			r, err := events.DecodeRecord(d.Data)
			if err != nil {
				return err
			}
			records++
			for _, c := range r.Changes {
				if p, ok := c.(*events.Put); ok {
					got[p.Key] = d.Position
				}
			}
		}
		if len(got) >= callers*each {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Fatal(err)
	}
	for k, p := range told {
		if got[k] != p {
			t.Errorf("%s: told %d, stands at %d", k, p, got[k])
		}
	}
	if records > callers*each/4 {
		t.Errorf("%d records for %d appends of %d callers: not gathered", records, callers*each, callers)
	}
	t.Logf("%d appends in %d records", callers*each, records-1)
}
