package clock

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/mutant"
)

// System is the operating system's clock. Build it with [NewSystem].
type System struct {
	start   time.Time // carries the monotonic reading
	last    atomic.Pointer[cached]
	coarse  atomic.Uint32 // tenths of a second of holder time, at the last refresh
	mu      sync.Mutex
	base    instant // where holder time was last rebased
	holder  int64   // holder time at base
	unix    int64   // Unix milliseconds at boot0
	boot0   int64
	cal     instant // where the counter's rate was last measured
	calTick uint64
	window  uint64 // how many ticks a reading is good for; 0: not known yet
}

type cached struct {
	Reading
	ticks, window uint64
}

// instant is one look at the three clocks, in nanoseconds. Their zeros differ.
type instant struct{ mono, boot, wall int64 }

var _ Clock = (*System)(nil)

// NewSystem returns a clock that starts now.
func NewSystem() *System {
	s := &System{start: time.Now()}
	s.base = s.look()
	s.boot0 = s.base.boot
	s.unix = s.base.wall / int64(time.Millisecond)
	s.cal, s.calTick = s.base, ticks()
	return s
}

func (s *System) look() instant {
	now := time.Now()
	return instant{mono: int64(now.Sub(s.start)), boot: boottime(), wall: now.UnixNano()}
}

// Now returns a reading that is at most [Resolution] old.
func (s *System) Now() Reading {
	if c := s.last.Load(); c != nil && ticks()-c.ticks < c.window {
		// A counter that was reset or ran backwards wraps to a huge
		// difference, and the clocks are asked.
		return c.Reading
	}
	return s.refresh()
}

// Waiter returns the time since the clock's start on the monotonic clock.
func (s *System) Waiter() int64 {
	if mutant.On(mutant.WaiterJumps) {
		return s.Now().Holder
	}
	return int64(time.Since(s.start))
}

// Ticks returns tenths of a second that never go back, as of when somebody last
// asked for the time: a load of a variable, for those who only want to tell
// the recent from the old.
func (s *System) Ticks() uint32 { return s.coarse.Load() }

// AfterFunc is [time.AfterFunc].
func (s *System) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// rebaseAfter is how long holder time is measured from one base. A longer
// stretch would let a wall clock that runs fast and was then stepped back hide
// a suspension; a shorter one would add up the noise between the readings.
const rebaseAfter = int64(10 * time.Second)

func (s *System) refresh() Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := ticks() // before the clocks: the reading counts as older than it is
	now := s.look()
	passed := max(now.mono-s.base.mono, now.boot-s.base.boot, now.wall-s.base.wall)
	if mutant.On(mutant.HolderIsMonotonic) {
		passed = now.mono - s.base.mono
	}
	r := Reading{
		Holder: s.holder + passed,
		Unix:   s.unix + (now.boot-s.boot0)/int64(time.Millisecond),
	}
	if mutant.On(mutant.ExpiryFollowsWall) {
		r.Unix = s.unix + (now.wall-s.base.wall)/int64(time.Millisecond)
	}
	if c := s.last.Load(); c != nil {
		r.Holder = max(r.Holder, c.Holder) // the wall clock may have been stepped back
	}
	if passed >= rebaseAfter {
		s.base, s.holder = now, r.Holder
	}
	s.calibrate(t, now)
	s.coarse.Store(uint32(r.Holder / int64(100*time.Millisecond)))
	s.last.Store(&cached{Reading: r, ticks: t, window: s.window})
	return r
}

// calibrate measures how many ticks [Resolution] takes. Until a millisecond
// has passed the window stays closed, and later it follows the counter, whose
// rate may change when a virtual machine moves.
func (s *System) calibrate(t uint64, now instant) {
	passed := now.mono - s.cal.mono
	switch {
	case passed < int64(time.Millisecond), s.window != 0 && passed < int64(100*time.Millisecond):
		return
	case t <= s.calTick:
		s.window = 0
	default:
		perNano := float64(t-s.calTick) / float64(passed)
		s.window = uint64(math.Floor(perNano * float64(Resolution)))
	}
	s.cal, s.calTick = now, t
}
