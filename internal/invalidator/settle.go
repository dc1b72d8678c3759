package invalidator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/mutant"
)

// errSettling ends the wait of an event for its second fence when the process
// stops: the event goes back to the stream, and begins with its first fence.
var errSettling = errors.New("the process stops while the event waits for its second fence")

// settle waits, and fences a second time what is to be. The message is not
// acknowledged before that, so that a crash costs nothing but time.
func (i *Invalidator) settle(ctx context.Context, groups []*group) error {
	var delays []time.Duration
	for _, g := range groups {
		for d := range g.settle {
			delays = append(delays, d)
		}
	}
	if len(delays) == 0 || mutant.On(mutant.SettledUnfenced) {
		return nil
	}
	slices.Sort(delays)
	began := time.Now()
	var faults []error
	for _, d := range slices.Compact(delays) {
		timer := time.NewTimer(d - time.Since(began))
		select {
		case <-timer.C:
		case <-i.stopping:
			timer.Stop()
			return errSettling
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		var second []*group
		for _, g := range groups {
			if fences := g.settle[d]; len(fences) > 0 {
				second = append(second, &group{domain: g.domain, coalesce: g.coalesce, everywhere: g.everywhere, fences: fences})
			}
		}
		faults = append(faults, i.landAll(ctx, second))
		i.stats.settled.Add(1)
	}
	if err := mendable(faults); err != nil {
		return err
	}
	return errors.Join(faults...)
}

// stepAside gives a message's place among those in flight to another one, as
// long as not too many wait as this one will; then it keeps its place, and so
// holds back the stream. The returned function ends its wait.
func (i *Invalidator) stepAside(d delivery) func() {
	select {
	case i.waiting <- struct{}{}:
		d.leave()
		return func() { <-i.waiting }
	default:
		return func() {}
	}
}
