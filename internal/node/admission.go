package node

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/raptorflow/tercet/internal/mutant"
)

// Limits bound the calls of an origin. The zero value of every field means its
// default.
type Limits struct {
	// AtOnce is how many calls may run at once. Default 256.
	AtOnce int
	// Queue is how many may wait for that; the next is turned away at once, with
	// an [Overload]. Default 16 times AtOnce; negative: none waits.
	Queue int
	// PerSecond is how many calls may begin in a second. Default 0: any number. Up
	// to a second's worth may begin at once.
	PerSecond float64
	// Target is how long a call should take. While calls take longer, or time out,
	// fewer run at once, down to one; while they don't, more do, up to AtOnce.
	// Default 0: always AtOnce. It should be a few times what a call takes on an
	// idle origin: shorter, and noise throttles; longer, and the origin's own
	// queue grows first.
	Target time.Duration
}

func (l Limits) withDefaults() Limits {
	set(&l.AtOnce, 256)
	set(&l.Queue, 16*l.AtOnce)
	l.Queue = max(l.Queue, 0)
	return l
}

// Overload is the [ErrOverloaded] of calls that were turned away because too many
// run and wait.
type Overload struct {
	// Running and Waiting are how many there were.
	Running, Waiting int
	// RetryAfter is when there may be room again: at the pace of the last calls,
	// but at least a second and at most half a minute.
	RetryAfter time.Duration
}

func (o *Overload) Error() string {
	return fmt.Sprintf("%v: %d loads are running and %d wait; try again in %v", ErrOverloaded, o.Running, o.Waiting, o.RetryAfter)
}

func (o *Overload) Unwrap() error { return ErrOverloaded }

const (
	leastRetry = time.Second
	mostRetry  = 30 * time.Second
	// cut is what a call that took too long leaves of the number that may run.
	cut = 0.8
	// recent is the weight of a call in the mean of what they take.
	recent = 0.1
)

// Gate admits calls of an origin: however many readers find nothing at once,
// after all leases have lapsed or the caches were cleared, the origin sees no
// more of them than the limits say (P50), and nobody waits in a queue without
// end. All methods are safe for concurrent use.
type Gate struct {
	limits Limits
	pace   *rate.Limiter // nil: any
	now    func() int64  // nanoseconds, never back

	mu      sync.Mutex
	running int
	most    float64 // of running, at this moment
	waiting []chan struct{}
	takes   float64 // seconds, the mean of recent calls; 0: not known
	cutAt   int64   // when most was lowered last
	shed    uint64
}

// NewGate returns a gate with limits l.
func NewGate(l Limits) *Gate {
	began := time.Now()
	return newGate(l, func() int64 { return int64(time.Since(began)) })
}

func newGate(l Limits, now func() int64) *Gate {
	l = l.withDefaults()
	g := &Gate{limits: l, now: now, most: float64(l.AtOnce), cutAt: math.MinInt64}
	if l.PerSecond > 0 {
		g.pace = rate.NewLimiter(rate.Limit(l.PerSecond), max(1, int(math.Ceil(l.PerSecond))))
	}
	return g
}

// insideKey marks the context of a call that g has admitted: a call within it
// runs on the same admission, or the two could wait for each other for ever.
type insideKey struct{ g *Gate }

// Do runs call when the limits allow. It fails with an error that wraps
// [ErrOverloaded], and call did not run: an *[Overload] if the queue is full,
// another if ctx is done first. A call within a call goes straight.
func (g *Gate) Do(ctx context.Context, call func(context.Context) error) (err error) {
	if ctx.Value(insideKey{g}) != nil || mutant.On(mutant.LoadsNotAdmitted) {
		return call(ctx)
	}
	if err := g.enter(ctx); err != nil {
		return err
	}
	began := g.now()
	defer func() { g.leave(began, err) }()
	if g.pace != nil {
		if err := g.pace.Wait(ctx); err != nil {
			return fmt.Errorf("%w: %v loads have begun within a second", ErrOverloaded, g.limits.PerSecond)
		}
		began = g.now()
	}
	return call(context.WithValue(ctx, insideKey{g}, true))
}

func (g *Gate) enter(ctx context.Context) error {
	g.mu.Lock()
	if g.running < int(g.most) && len(g.waiting) == 0 {
		g.running++
		g.mu.Unlock()
		return nil
	}
	if len(g.waiting) >= g.limits.Queue && !mutant.On(mutant.LoadQueueUnbounded) {
		defer g.mu.Unlock()
		g.shed++
		return g.overload()
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == turn {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return fmt.Errorf("%w: %d loads are running", ErrOverloaded, g.running)
		}
	}
	g.running-- // its turn has come in this moment
	g.next()
	return fmt.Errorf("%w: %d loads are running", ErrOverloaded, g.running)
}

// leave ends a call that began then.
func (g *Gate) leave(began int64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.adapt(began, err)
	g.running--
	g.next()
}

// adapt learns from a call. Those that had begun before the last cut say nothing
// about it.
func (g *Gate) adapt(began int64, err error) {
	took := time.Duration(g.now() - began)
	if g.takes == 0 {
		g.takes = took.Seconds()
	}
	g.takes += recent * (took.Seconds() - g.takes)
	switch {
	case g.limits.Target == 0:
	case took > g.limits.Target || timedOut(err):
		if began > g.cutAt {
			g.most, g.cutAt = max(1, g.most*cut), g.now()
		}
	case g.running >= int(g.most): // it was the limit that bound
		g.most = min(float64(g.limits.AtOnce), g.most+1/g.most)
	}
}

// next lets those in whose turn it is. The caller holds mu.
func (g *Gate) next() {
	for g.running < int(g.most) && len(g.waiting) > 0 {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.running++
	}
}

// overload says how many there are. The caller holds mu.
func (g *Gate) overload() *Overload {
	wait := g.takes * float64(len(g.waiting)+1) / g.most
	if p := g.limits.PerSecond; p > 0 {
		wait = max(wait, float64(len(g.waiting)+1)/p)
	}
	after := time.Duration(math.Ceil(wait)) * time.Second
	return &Overload{Running: g.running, Waiting: len(g.waiting), RetryAfter: min(max(after, leastRetry), mostRetry)}
}

// GateStats is what a gate sees.
type GateStats struct {
	// Running and Waiting are calls, Most how many may run just now.
	Running, Waiting, Most int
	// Shed are the calls that were turned away since the start.
	Shed uint64
}

// Stats returns a snapshot.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GateStats{Running: g.running, Waiting: len(g.waiting), Most: int(g.most), Shed: g.shed}
}
