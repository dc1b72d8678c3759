package coherence_test

import (
	"testing"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// H2, H4: a member has proved to have applied a record if its digest is that
// of our history, and in no other case.
func TestProvesByDigestAlone(t *testing.T) {
	w := coherence.New()
	for p := events.Position(1); p <= 10; p++ {
		w.Apply(coherence.Step{
			Mark:   events.Mark{Position: p, ID: events.ID{Counter: uint64(p)}},
			Record: events.Record{Changes: []events.Change{&events.Invalidate{Scope: events.Scope{Keys: []string{"k"}}}}},
		})
	}
	at := func(p events.Position) coherence.Member {
		d, known := w.DigestAt(p)
		if !known {
			t.Fatalf("no digest at %d", p)
		}
		return coherence.Member{Applied: p, Digest: d}
	}
	other := at(8)
	other.Digest[0]++
	for _, tc := range []struct {
		name   string
		member coherence.Member
		want   bool
	}{
		{"as far", at(7), true},
		{"further", at(10), true},
		{"not as far", at(6), false},
		{"of another history", other, false},
		{"without a digest", coherence.Member{Applied: 8}, false},
		{"from beyond", coherence.Member{Applied: 11, Digest: at(10).Digest}, false},
	} {
		if got := w.Proves(tc.member, 7); got != tc.want {
			t.Errorf("%s: proves %v, want %v", tc.name, got, tc.want)
		}
	}
}
