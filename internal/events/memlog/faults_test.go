package memlog_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
)

func fate(f memlog.Fate) memlog.Faults {
	return memlog.Faults{Publish: func(_ events.ID, attempt int) (memlog.Fate, time.Duration) {
		if attempt == 1 {
			return f, time.Millisecond
		}
		return memlog.Landed, time.Millisecond
	}}
}

// What each fate means for the one who publishes and for the log.
func TestFates(t *testing.T) {
	for _, c := range []struct {
		name    string
		fate    memlog.Fate
		outcome error // within 10 ms; nil is landed
		now     int   // records in the stream then
		later   int   // and after a while
	}{
		{"landed", memlog.Landed, nil, 1, 1},
		{"refused", memlog.Refused, events.ErrNotLanded, 0, 0},
		{"request lost", memlog.RequestLost, events.ErrIndeterminate, 0, 1},
		{"answer lost", memlog.AnswerLost, events.ErrIndeterminate, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			clocktest.Bubble(t, func(t *testing.T) {
				s := memlog.NewStream()
				l := s.Connect(fate(c.fate))
				defer l.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				_, err := l.Publish(ctx, events.ID{Counter: 1}, []byte("x"))
				if !errors.Is(err, c.outcome) {
					t.Errorf("got %v, want %v", err, c.outcome)
				}
				if n := count(s); n != c.now {
					t.Errorf("%d records now, want %d", n, c.now)
				}
				time.Sleep(time.Minute)
				if n := count(s); n != c.later {
					t.Errorf("%d records later, want %d", n, c.later)
				}
			})
		})
	}
}

func count(s *memlog.Stream) int {
	first, last := s.Bounds()
	return int(last+1) - int(first)
}

// Nothing rests on the duplicate window: after it, a retry lands twice.
func TestForgottenIdentityLandsTwice(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		s := memlog.NewStream()
		l := s.Connect(fate(memlog.AnswerLost))
		defer l.Close()
		go func() {
			time.Sleep(50 * time.Millisecond)
			s.Forget()
		}()
		p, err := l.Publish(t.Context(), events.ID{Counter: 1}, []byte("x"))
		if err != nil || p != 2 || count(s) != 2 {
			t.Fatalf("position %d of %d, %v", p, count(s), err)
		}
	})
}

func TestCutAndHeal(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		s := memlog.NewStream()
		l := s.Connect(memlog.Faults{})
		defer l.Close()
		seen := make(chan events.Position, 10)
		end := make(chan error, 1)
		go func() {
			end <- l.Follow(t.Context(), events.Mark{}, func(b []events.Delivery) error {
				seen <- b[len(b)-1].Position
				return nil
			})
		}()
		s.AppendForeign([]byte("1"))
		synctest.Wait()
		l.Cut()
		s.AppendForeign([]byte("2"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := l.Publish(ctx, events.ID{Counter: 1}, []byte("x")); !errors.Is(err, events.ErrNotLanded) {
			t.Errorf("publish while cut off: %v", err)
		}
		if n := len(seen); n != 1 {
			t.Fatalf("%d batches while cut off", n)
		}
		l.Heal()
		synctest.Wait()
		if <-seen; <-seen != 2 {
			t.Error("the record that was missed did not come")
		}
		l.Close()
		if err := <-end; !errors.Is(err, events.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestDriftEndsFollow(t *testing.T) {
	s := memlog.NewStream()
	l := s.Connect(memlog.Faults{})
	defer l.Close()
	s.AppendForeign([]byte("1"))
	err := l.Follow(t.Context(), events.Mark{}, func([]events.Delivery) error {
		s.Drift()
		return nil
	})
	if !errors.Is(err, events.ErrDrift) {
		t.Fatalf("got %v", err)
	}
}

// A stream that is away for a while is waited for.
func TestMissingStreamIsWaitedFor(t *testing.T) {
	clocktest.Bubble(t, func(t *testing.T) {
		s := memlog.NewStream()
		l := s.Connect(memlog.Faults{})
		defer l.Close()
		s.AppendForeign([]byte("1"))
		s.Delete()
		time.AfterFunc(time.Hour, s.Restore)
		began := time.Now()
		p, err := l.Publish(t.Context(), events.ID{Counter: 1}, []byte("x"))
		if err != nil || p != 2 || time.Since(began) < time.Hour {
			t.Errorf("published at %d after %v: %v", p, time.Since(began), err)
		}
		enough := errors.New("enough")
		if err := l.Follow(t.Context(), events.Mark{}, func([]events.Delivery) error { return enough }); err != enough {
			t.Errorf("follow: %v", err)
		}
	})
}
