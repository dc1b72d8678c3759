package coherence

import (
	"testing"

	"github.com/raptorflow/tercet/internal/events"
)

// The ring begins small; growing, and going round, loses no digest that it
// promises to remember.
func TestRingRemembers(t *testing.T) {
	var r ring
	want := map[events.Position]events.Digest{}
	d := events.Digest{}
	const from, to = 7, 7 + 2*remembered
	for p := events.Position(from); p <= to; p++ {
		d = d.Next(events.ID{Counter: uint64(p)})
		want[p] = d
		r.push(p, d)
		for _, back := range []events.Position{0, 1, 63, 64, 1000, remembered - 1, remembered} {
			got, ok := r.at(p - back)
			known := p-back >= from && back < remembered && p >= back
			if ok != known || ok && got != want[p-back] {
				t.Fatalf("after %d: at %d is %v, %v; want %v, %v", p, p-back, got, ok, want[p-back], known)
			}
		}
	}
	r.push(from, d) // elsewhere: what was known of the old place is not of this one
	if _, ok := r.at(to); ok {
		t.Fatal("a digest of the place that was left")
	}
}
