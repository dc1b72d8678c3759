package snapshot

import "time"

// Schedule says when the nodes of a domain make images. They share a catalogue
// and no clock: whoever finds the newest image too old makes one, so that there
// is about one for all of them in that time, and two at most now and then.
type Schedule struct {
	// Every is the greatest age of the newest full image.
	Every time.Duration
	// FullEvery is how many images stand on one another: 1 means no increments.
	FullEvery int
}

// Next returns how long to wait until an image of kind is due, 0 if it is now,
// and then its base, nil for none. all are newest first.
func (s Schedule) Next(now time.Time, all []Manifest, kind Kind) (wait time.Duration, base *Manifest) {
	for i := range all {
		if all[i].Kind != kind {
			continue
		}
		if age := now.Sub(all[i].Created); age >= 0 && age < s.Every {
			return s.Every - age, nil
		}
		if all[i].Depth+1 < min(s.FullEvery, mostBases) {
			return 0, &all[i]
		}
		break
	}
	return 0, nil
}
