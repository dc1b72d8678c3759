package pacing

import "fmt"

// Budget bounds how many run at a time. The bound lies between 1 and most: a
// failure halves it, and as many successes as the bound allows raise it by one
// (additive increase, multiplicative decrease), so that an origin in trouble
// is asked by one at a time and a healthy one by most.
type Budget struct {
	most    int
	limit   float64 // 1 <= limit <= most
	running int     // 0 <= running; may exceed limit after a failure
}

// Outcome is how one use of a [Budget] ended.
type Outcome uint8

const (
	// Neutral says nothing about the origin: it was not asked.
	Neutral Outcome = iota
	// Succeeded raises the bound.
	Succeeded
	// Failed lowers it.
	Failed
)

// NewBudget returns a budget of at most most, 1 or more, at a time.
func NewBudget(most int) (*Budget, error) {
	if most < 1 {
		return nil, fmt.Errorf("%w: budget of %d, want 1 or more", ErrConfig, most)
	}
	return &Budget{most: most, limit: float64(most)}, nil
}

// Free returns how many more may start now.
func (b *Budget) Free() int { return max(0, int(b.limit)-b.running) }

// Running returns how many run.
func (b *Budget) Running() int { return b.running }

// Limit returns how many may run at a time now.
func (b *Budget) Limit() int { return int(b.limit) }

// Start counts one more that runs, if one may.
func (b *Budget) Start() bool {
	if b.Free() == 0 {
		return false
	}
	b.running++
	return true
}

// End counts one that ran.
func (b *Budget) End(o Outcome) {
	b.running = max(0, b.running-1)
	switch o {
	case Succeeded:
		b.limit = min(float64(b.most), b.limit+1/b.limit)
	case Failed:
		b.limit = max(1, b.limit/2)
	}
}
