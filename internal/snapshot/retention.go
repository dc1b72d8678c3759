package snapshot

import (
	"slices"
	"time"
)

// Retention says which images to keep. What several rules keep is kept once; the
// bases of what is kept are kept too. The newest image is always kept: a
// schedule that stopped should not cost the last one. The zero value keeps all.
type Retention struct {
	// Last is how many of the newest are kept; 0: any number.
	Last int
	// Daily is for how many days, by UTC, the newest of the day is kept besides.
	Daily int
	// MaxAge is after which time none but the newest is kept; 0: never. Images
	// from before the log's first record are of no use, so that its retention is
	// the most that makes sense.
	MaxAge time.Duration
}

// Plan says which of the images, newest first, go; kinds are told apart, since
// an image of fences stands in for no full one. It does not change all.
func (r Retention) Plan(now time.Time, all []Manifest) (drop []Manifest) {
	keep := make(map[string]bool, len(all))
	for _, kind := range []Kind{Full, Fences} {
		days := make(map[string]bool)
		n := 0
		for _, m := range all {
			if m.Kind != kind {
				continue
			}
			n++
			day := m.Created.UTC().Format(time.DateOnly)
			newestOfDay := !days[day] && len(days) < r.Daily
			if newestOfDay {
				days[day] = true
			}
			young := r.MaxAge == 0 || now.Sub(m.Created) <= r.MaxAge
			if n == 1 || young && (r.Last == 0 || n <= r.Last || newestOfDay) {
				keep[m.ID] = true
			}
		}
	}
	// A base may have a base: what is kept is at most as long as all.
	for range all {
		grew := false
		for _, m := range all {
			if keep[m.ID] && m.Base != "" && !keep[m.Base] {
				keep[m.Base], grew = true, true
			}
		}
		if !grew {
			break
		}
	}
	for _, m := range slices.Backward(all) {
		if !keep[m.ID] {
			drop = append(drop, m)
		}
	}
	// An increment goes before its base.
	slices.SortStableFunc(drop, func(a, b Manifest) int { return b.Depth - a.Depth })
	return drop
}
