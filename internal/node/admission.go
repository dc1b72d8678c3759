package node

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/time/rate"
)

// admission guards origins: however many readers find nothing at once, after
// all leases have lapsed or the caches were cleared, no more than so many
// loads run at a time and begin in a second (P50).
type admission struct {
	running chan struct{} // one token for each load
	pace    *rate.Limiter // nil: any
}

func newAdmission(most int, perSecond float64) admission {
	a := admission{running: make(chan struct{}, most)}
	if perSecond > 0 {
		a.pace = rate.NewLimiter(rate.Limit(perSecond), max(1, int(math.Ceil(perSecond))))
	}
	return a
}

// enter returns when a load may begin, or an error that wraps [ErrOverloaded]
// if that would not be before ctx is done. Who got nil calls leave.
func (a *admission) enter(ctx context.Context) error {
	select {
	case a.running <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %d loads are running", ErrOverloaded, cap(a.running))
	}
	if a.pace != nil {
		if err := a.pace.Wait(ctx); err != nil {
			a.leave()
			return fmt.Errorf("%w: %v loads have begun within a second", ErrOverloaded, a.pace.Limit())
		}
	}
	return nil
}

func (a *admission) leave() { <-a.running }
