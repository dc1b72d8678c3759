package run

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/raptorflow/tercet/test/chaos/scenario"
)

// moment is one fault that a scenario plans.
type moment struct {
	at    time.Duration
	fault scenario.Fault
	// seed is for what the fault itself leaves open: it must not depend on how
	// long others took.
	seed uint64
}

// plan lays a scenario's schedule out. The same seed gives the same plan.
func plan(s *scenario.Scenario, seed uint64) []moment {
	dice := rand.New(rand.NewPCG(seed, 1))
	var all []moment
	for _, f := range s.Faults {
		for at := f.At; at < s.Duration; at += f.Every {
			late := time.Duration(0)
			if f.Jitter > 0 {
				late = time.Duration(dice.Int64N(int64(f.Jitter)))
			}
			all = append(all, moment{at + late, f, dice.Uint64()})
			if f.Every <= 0 {
				break
			}
		}
	}
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return all
}

// rounds yields the faults of a rotation, each round in another order.
func rounds(r scenario.Rotation, seed uint64) func(yield func(moment) bool) {
	dice := rand.New(rand.NewPCG(seed, 2))
	return func(yield func(moment) bool) {
		for len(r.Faults) > 0 {
			for _, i := range dice.Perm(len(r.Faults)) {
				if !yield(moment{fault: r.Faults[i], seed: dice.Uint64()}) {
					return
				}
			}
		}
	}
}
