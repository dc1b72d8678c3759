package node

import (
	"fmt"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
)

// The samples of a key come in their order, and those that are kept are the last.
func TestSamplesAreKept(t *testing.T) {
	var l servedLog
	if all := l.of("k"); len(all) != 0 {
		t.Errorf("of nothing: %v", all)
	}
	const n = mostServed*5/2 + 7
	for i := range n {
		l.note(Sighting{Key: fmt.Sprint("k", i%2), Epoch: 7, Birth: events.Position(i), Claim: events.Position(i + 1)}, int64(i))
	}
	all := l.of("k0")
	if len(all) != mostServed/2 {
		t.Fatalf("%d samples, want %d", len(all), mostServed/2)
	}
	for i, s := range all {
		want := events.Position((n-mostServed+1)/2*2 + 2*i)
		if s.Birth != want || s.Applied != want+1 || s.At.UnixMilli() != int64(want) || s.Epoch != 7 {
			t.Fatalf("sample %d: %+v, want born at %d", i, s, want)
		}
	}
}
