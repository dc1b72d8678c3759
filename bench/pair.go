package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// side works for about d on one part and returns its figure: nanoseconds per
// operation, a percentile, or a rate.
type side func(d time.Duration) (float64, error)

// pairing says how two sides are measured beside each other.
type pairing struct {
	rounds int
	slice  time.Duration
}

// paired is what the rounds of two sides yielded.
type paired struct {
	raw, ours float64 // medians of the sides' figures
	ratio     float64 // median of the rounds' ratios, ours to raw
	low, high float64 // their quartiles: how noisy the machine was
	rounds    int
}

// run lets the sides work in turn, a slice each, and swaps who begins from
// round to round: a machine that is busy or slow for a while is so for both,
// and whoever comes second finds caches as the other left them.
func (p pairing) run(ctx context.Context, raw, ours side) (paired, error) {
	var rs, os, ratios []float64
	for i := -1; i < p.rounds; i++ {
		var r, o float64
		var err error
		first, second, a, b := raw, ours, &r, &o
		if i&1 == 1 {
			first, second, a, b = ours, raw, &o, &r
		}
		if *a, err = first(p.slice); err != nil {
			return paired{}, err
		}
		if *b, err = second(p.slice); err != nil {
			return paired{}, err
		}
		if err := ctx.Err(); err != nil {
			return paired{}, err
		}
		if i < 0 {
			continue // warms up
		}
		rs, os, ratios = append(rs, r), append(os, o), append(ratios, o/r)
	}
	return paired{
		raw: quantile(rs, 0.5), ours: quantile(os, 0.5), ratio: quantile(ratios, 0.5),
		low: quantile(ratios, 0.25), high: quantile(ratios, 0.75), rounds: len(ratios),
	}, nil
}

// quantile returns the q-quantile of v, which it sorts.
func quantile[T int64 | float64 | time.Duration](v []T, q float64) T {
	slices.Sort(v)
	return v[int(q*float64(len(v)-1)+0.5)]
}

// reads returns a side that calls read one after the other, step of them
// between two looks at the clock, and yields nanoseconds per call.
func reads(step int, read func() error) side {
	return func(d time.Duration) (float64, error) {
		n, began := 0, time.Now()
		for {
			for range step {
				if err := read(); err != nil {
					return 0, err
				}
			}
			n += step
			if took := time.Since(began); took >= d {
				return float64(took) / float64(n), nil
			}
		}
	}
}

// errEnd ends a slice early, and is no failure: there is nothing left to do.
var errEnd = errors.New("end of the slice")

// callers returns a side on which n callers work at once and which yields
// nanoseconds per call of op, over them all.
func callers(n int, op func(caller int) error) side {
	return func(d time.Duration) (float64, error) {
		counts, errs := make([]int, n), make([]error, n)
		began := time.Now()
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				for time.Since(began) < d {
					if errs[i] = op(i); errs[i] != nil {
						return
					}
					counts[i]++
				}
			})
		}
		all.Wait()
		took, total := time.Since(began), 0
		for i, err := range errs {
			if err != nil && err != errEnd {
				return 0, err
			}
			total += counts[i]
		}
		return float64(took) / float64(total), nil
	}
}

// medians returns a side that yields the median of what op took.
func medians(op func() (time.Duration, error)) side { return percentiles(0.5, op) }

// percentiles returns a side that yields the q-quantile of what op took.
func percentiles(q float64, op func() (time.Duration, error)) side {
	var took []time.Duration
	return func(d time.Duration) (float64, error) {
		took = took[:0]
		for began := time.Now(); time.Since(began) < d; {
			t, err := op()
			if err != nil {
				return 0, err
			}
			took = append(took, t)
		}
		return float64(quantile(took, q)), nil
	}
}

// timed makes an operation of call for [medians].
func timed(call func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		began := time.Now()
		err := call()
		return time.Since(began), err
	}
}

// wrong reports a read whose bytes are not what must be there.
func wrong(who string, key string, got []byte) error {
	return fmt.Errorf("%s: key %q holds %d wrong bytes", who, key, len(got))
}
