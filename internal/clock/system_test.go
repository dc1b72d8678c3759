package clock

import (
	"testing"
	"time"
)

func TestNowFollowsTheClocks(t *testing.T) {
	s := NewSystem()
	first, wall := s.Now(), time.Now()
	for end := wall.Add(30 * time.Millisecond); time.Now().Before(end); {
		before := time.Since(s.start)
		r := s.Now()
		after := time.Since(s.start)
		if got := time.Duration(r.Holder); got < before-Resolution-2*time.Millisecond || got > after+2*time.Millisecond {
			t.Fatalf("holder time %v, want within %v to %v", got, before-Resolution, after)
		}
		if r.Holder < first.Holder {
			t.Fatalf("holder time went back from %d to %d", first.Holder, r.Holder)
		}
		first = r
	}
	if d := s.Now().Unix - time.Now().UnixMilli(); d < -5 || d > 5 {
		t.Errorf("Unix time is %d ms off", d)
	}
}

// A wall clock that is stepped forward, or a machine that was suspended, must
// end leases; one that is stepped back must not prolong them.
func TestHolderTakesTheGreatest(t *testing.T) {
	for _, tc := range []struct {
		name             string
		mono, boot, wall int64
		want             int64
	}{
		{"all agree", 100, 100, 100, 100},
		{"suspended", 5, 3600, 3600, 3600},
		{"wall stepped forward", 5, 5, 7200, 7200},
		{"wall stepped back", 5, 5, -7200, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewSystem()
			start := s.Now().Holder
			s.mu.Lock()
			second := int64(time.Second)
			s.base.mono -= tc.mono * second
			s.base.boot -= tc.boot * second
			s.base.wall -= tc.wall * second
			s.window = 0
			s.mu.Unlock()
			s.last.Store(nil)
			got := time.Duration(s.Now().Holder - start).Round(time.Second)
			if want := time.Duration(tc.want) * time.Second; got != want {
				t.Errorf("holder time passed %v, want %v", got, want)
			}
		})
	}
}

// Row 34: a wall clock that is set moves no expiry; time that a machine slept
// through has passed.
func TestUnixIgnoresSteps(t *testing.T) {
	for _, tc := range []struct {
		name             string
		mono, boot, wall time.Duration
		want             time.Duration
	}{
		{"wall stepped forward", 0, 0, time.Hour, 0},
		{"wall stepped back", 0, 0, -time.Hour, 0},
		{"suspended", 0, time.Hour, time.Hour, time.Hour},
	} {
		s := NewSystem()
		start := s.Now().Unix
		s.mu.Lock()
		s.base.mono -= int64(tc.mono)
		s.base.boot -= int64(tc.boot)
		s.boot0 -= int64(tc.boot)
		s.base.wall -= int64(tc.wall)
		s.window = 0
		s.mu.Unlock()
		s.last.Store(nil)
		if got := (time.Duration(s.Now().Unix-start) * time.Millisecond).Round(time.Minute); got != tc.want {
			t.Errorf("%s: %v have passed for expiry, want %v", tc.name, got, tc.want)
		}
	}
}

// C2: who waits for another's lease to lapse must not be told that time has
// passed by a wall clock that was set, or a machine that slept.
func TestWaiterDoesNotJump(t *testing.T) {
	s := NewSystem()
	s.mu.Lock()
	s.base.boot -= int64(time.Hour)
	s.base.wall -= int64(time.Hour)
	s.mu.Unlock()
	s.last.Store(nil)
	if got := time.Duration(s.Waiter()); got > time.Minute {
		t.Errorf("waiter time passed %v within moments", got)
	}
}

func TestCounterGoingBackAsksTheClocks(t *testing.T) {
	s := NewSystem()
	for s.last.Load() == nil || s.last.Load().window == 0 {
		s.Now()
	}
	c := *s.last.Load()
	c.ticks = ticks() + 1<<40 // as if the counter had been reset
	c.Unix = 1
	s.last.Store(&c)
	if got := s.Now().Unix; got == 1 {
		t.Error("a reading from the counter's future was taken for recent")
	}
}

func BenchmarkNow(b *testing.B) {
	s := NewSystem()
	for b.Loop() {
		s.Now()
	}
}

// Expiry follows the boot clock: a wall clock that is set moves no deadline,
// and a machine that slept has let time pass.
func TestUnixTimeHeedsNoStep(t *testing.T) {
	for _, tc := range []struct {
		name             string
		mono, boot, wall int64
		want             int64
	}{
		{"suspended", 5, 3600, 3600, 3600},
		{"wall stepped forward", 5, 5, 7200, 5},
		{"wall stepped back", 5, 5, -7200, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewSystem()
			start := s.Now().Unix
			s.mu.Lock()
			second := int64(time.Second)
			s.base.mono -= tc.mono * second
			s.base.boot -= tc.boot * second
			s.base.wall -= tc.wall * second
			s.boot0 -= tc.boot * second
			s.window = 0
			s.mu.Unlock()
			s.last.Store(nil)
			if got := (s.Now().Unix - start + 500) / 1000; got != tc.want {
				t.Errorf("%d s passed for expiry, want %d", got, tc.want)
			}
		})
	}
}
