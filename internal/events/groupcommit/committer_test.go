package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rtt = 10 * time.Millisecond

// slow lets every publish take a round trip of virtual time.
var slow = memlog.Faults{Publish: func(events.ID, int) (memlog.Fate, time.Duration) { return memlog.Landed, rtt }}

// mute answers nothing.
var mute = memlog.Faults{Publish: func(events.ID, int) (memlog.Fate, time.Duration) { return memlog.RequestLost, rtt }}

type fixture struct {
	stream *memlog.Stream
	log    *memlog.Log
	*groupcommit.Committer
}

func start(t *testing.T, f memlog.Faults, c groupcommit.Config) *fixture {
	t.Helper()
	s := memlog.NewStream()
	l := s.Connect(f)
	c.Publisher = events.Incarnation{1}
	g, err := groupcommit.New(l, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(); l.Close() })
	return &fixture{s, l, g}
}

// records decodes what landed.
func (f *fixture) records(t *testing.T) (out []events.Record) {
	t.Helper()
	first, last := f.stream.Bounds()
	for p := first; p <= last; p++ {
		d, _ := f.stream.At(p)
		r, err := events.DecodeRecord(d.Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func put(key string) events.Change { return &events.Put{Key: key, Entry: []byte("v")} }

func fence(key string) events.Change {
	return &events.Invalidate{Scope: events.Scope{Keys: []string{key}}}
}

func wantOutcome(t *testing.T, err, outcome, cause error) {
	t.Helper()
	var p *events.PublishError
	if !errors.As(err, &p) || p.Outcome != outcome || !errors.Is(err, cause) {
		t.Errorf("got %v, want %v because of %v", err, outcome, cause)
	}
}

func TestArrivalsGatherWhileOneIsOnItsWay(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{})
		began := time.Now()
		var all sync.WaitGroup
		const n = 100
		positions := make([]events.Position, n)
		ids := make([]events.ID, n)
		for i := range n {
			all.Go(func() {
				var err error
				positions[i], ids[i], err = f.Append(t.Context(), fence(fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if d := time.Since(began); d != 2*rtt {
			t.Errorf("took %v, want two round trips", d)
		}
		if r := f.records(t); len(r) != 2 || len(r[0].Changes) != 1 || len(r[1].Changes) != n-1 {
			t.Fatalf("%d records", len(r))
		}
		for i, p := range positions {
			d, ok := f.stream.At(p)
			if !ok || d.ID != ids[i] {
				t.Errorf("append %d: told %d %s, there is %s", i, p, ids[i], d.ID)
			}
		}
	})
}

func TestChangesOfOneAppendStayTogether(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				a, b := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
				if _, _, err := f.Append(t.Context(), fence(a), put(a), put(b)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, r := range f.records(t) {
			for i := 0; i < len(r.Changes); i += 3 {
				a := r.Changes[i].(*events.Invalidate).Scope.Keys[0]
				if k := r.Changes[i+1].(*events.Put).Key; k != a {
					t.Fatalf("%q stands behind the fence of %q", k, a)
				}
			}
		}
	})
}

// Fences go first, since a fence must not stand behind a put of its key; a key
// that is put twice needs two records.
func TestConflictBeginsTheNextRecord(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{})
		for _, c := range []events.Change{put("x"), put("a"), fence("b"), fence("a"), put("c"), put("c")} {
			go func() { _, _, _ = f.Append(t.Context(), c) }()
			synctest.Wait() // so that they arrive in this order
		}
		if err := f.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range f.records(t) {
			var names []string
			for _, c := range r.Changes {
				switch c := c.(type) {
				case *events.Put:
					names = append(names, "put "+c.Key)
				case *events.Invalidate:
					names = append(names, "fence "+c.Scope.Keys[0])
				}
			}
			got = append(got, strings.Join(names, ", "))
		}
		want := "put x; fence b, fence a, put a, put c; put c"
		if strings.Join(got, "; ") != want {
			t.Fatalf("records: %s; want %s", strings.Join(got, "; "), want)
		}
	})
}

// A mix of puts and broad fences must not fall apart into small records.
func TestPutsAndBroadFencesShareARecord(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{})
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				c := put(fmt.Sprint(i))
				if i%2 == 0 {
					c = &events.Invalidate{Scope: events.Scope{Tags: []string{fmt.Sprint(i)}}}
				}
				if _, _, err := f.Append(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := len(f.records(t)); n != 2 {
			t.Fatalf("%d records, want the first and the rest", n)
		}
	})
}

func TestRecordsStayWithinTheirBound(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{MaxBytes: 1000})
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() { _, _, _ = f.Append(t.Context(), fence(fmt.Sprintf("%0100d", i))) })
		}
		all.Go(func() { _, _, _ = f.Append(t.Context(), fence(strings.Repeat("k", 3000))) })
		all.Wait()
		first, last := f.stream.Bounds()
		alone := 0
		for p := first; p <= last; p++ {
			d, _ := f.stream.At(p)
			if len(d.Data) > 1000 {
				alone++
			}
		}
		if alone != 1 {
			t.Fatalf("%d records beyond the bound, want the one large Append", alone)
		}
	})
}

func TestQueuedAppendIsTakenBack(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{})
		go func() { _, _, _ = f.Append(t.Context(), fence("first")) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), rtt/2)
		defer cancel()
		_, _, err := f.Append(ctx, fence("second"))
		wantOutcome(t, err, events.ErrNotLanded, context.DeadlineExceeded)
		if err := f.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(f.records(t)); n != 1 {
			t.Fatalf("%d records landed, want the first only", n)
		}
	})
}

func TestOneWhoLeavesDisturbsNobody(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{})
		go func() { _, _, _ = f.Append(t.Context(), fence("first")) }()
		synctest.Wait()
		var all sync.WaitGroup
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), rtt+rtt/2)
			defer cancel()
			_, id, err := f.Append(ctx, fence("leaver"))
			wantOutcome(t, err, events.ErrIndeterminate, context.DeadlineExceeded)
			if id == (events.ID{}) {
				t.Error("no id to look for")
			}
		})
		all.Go(func() {
			if _, _, err := f.Append(t.Context(), fence("stayer")); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if r := f.records(t); len(r) != 2 || len(r[1].Changes) != 2 {
			t.Fatalf("records %v", r)
		}
	})
}

func TestNobodyWaitsForAnAbandonedRecord(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, memlog.Faults{Publish: func(id events.ID, _ int) (memlog.Fate, time.Duration) {
			if id.Counter <= 2 {
				return memlog.RequestLost, rtt
			}
			return memlog.Landed, rtt
		}}, groupcommit.Config{})
		var all sync.WaitGroup
		// One alone; when it leaves, the other two set out together.
		for i, patience := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, _, err := f.Append(ctx, fence(fmt.Sprint(i)))
				wantOutcome(t, err, events.ErrIndeterminate, context.DeadlineExceeded)
			})
			synctest.Wait()
		}
		all.Wait()
		next, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := f.Append(next, fence("next")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTooLargeOrInvalidIsRefusedAtOnce(t *testing.T) {
	f := start(t, memlog.Faults{}, groupcommit.Config{})
	var big []events.Change
	for i := range 300 {
		big = append(big, fence(fmt.Sprintf("%04000d", i)))
	}
	_, _, err := f.Append(t.Context(), big...)
	wantOutcome(t, err, events.ErrNotLanded, events.ErrTooLarge)
	_, _, err = f.Append(t.Context(), put("a"), put("a"))
	wantOutcome(t, err, events.ErrNotLanded, events.ErrInvalid)
	_, _, err = f.Append(t.Context())
	wantOutcome(t, err, events.ErrNotLanded, events.ErrInvalid)
	if _, last := f.stream.Bounds(); last != 0 {
		t.Fatalf("%d records landed", last)
	}
}

func TestQueueIsBounded(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{MaxQueue: 2})
		for i := range 3 {
			go func() { _, _, _ = f.Append(t.Context(), fence(fmt.Sprint(i))) }()
		}
		synctest.Wait()
		_, _, err := f.Append(t.Context(), fence("one too many"))
		wantOutcome(t, err, events.ErrNotLanded, groupcommit.ErrOverloaded)
		if err := f.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDrainWaitsForAll(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, slow, groupcommit.Config{})
		for i := range 10 {
			go func() {
				if _, _, err := f.Append(t.Context(), fence(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), rtt/2)
		defer cancel()
		if err := f.Drain(hasty); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain before its time: %v", err)
		}
		_, _, err := f.Append(t.Context(), fence("late"))
		wantOutcome(t, err, events.ErrNotLanded, events.ErrClosed)
		if err := f.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, r := range f.records(t) {
			n += len(r.Changes)
		}
		if n != 10 {
			t.Fatalf("%d changes landed, want 10", n)
		}
	})
}

func TestCloseTurnsBackWhoWaits(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		f := start(t, mute, groupcommit.Config{})
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		append := func(ctx context.Context, key string, outcome, cause error) {
			all.Go(func() {
				_, _, err := f.Append(ctx, fence(key))
				wantOutcome(t, err, outcome, cause)
			})
			synctest.Wait()
		}
		append(ctx, "alone", events.ErrIndeterminate, context.Canceled)
		append(t.Context(), "gathered", events.ErrIndeterminate, context.Canceled)
		leave() // the first gives up, so that the second sets out
		synctest.Wait()
		append(t.Context(), "queued", events.ErrNotLanded, events.ErrClosed)
		f.Close()
		all.Wait()
		_, _, err := f.Append(t.Context(), fence("late"))
		wantOutcome(t, err, events.ErrNotLanded, events.ErrClosed)
		f.Close()
	})
}

func TestNewRefusesBadConfig(t *testing.T) {
	l := memlog.NewStream().Connect(memlog.Faults{})
	defer l.Close()
	for _, c := range []groupcommit.Config{
		{},
		{Publisher: events.Incarnation{1}, MaxBytes: events.MaxRecord + 1},
		{Publisher: events.Incarnation{1}, MaxQueue: -1},
	} {
		if _, err := groupcommit.New(l, c); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
