package node_test

import (
	"testing"

	"github.com/raptorflow/tercet/internal/events/memlog"
)

// P41: an incarnation is who holds a lease. Another process under the same
// node's name, from a cloned disk or a copied configuration, takes nobody's place.
func TestEverywhereWaitsForBothOfOneName(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		b.log.Cut()
		f.start("b", options{})
		if took := holdsToG5(t, a, b); took > f.settings.LeaseWait()+lease/5 {
			t.Fatalf("returned after %v, want a lease's length at most", took)
		}
	})
}

// P43, P16: the pulse by which a member holds its lease may be trimmed out of the
// log, by a server's clock that jumped. Who starts behind that does not know the
// member, whatever others vouch for.
func TestEverywhereWaitsForWhoWasTrimmed(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.pair(options{}, options{})
		f.caughtUp(b)
		b.cut()
		f.pass(lease / 4) // a goes on to pulse
		for _, s := range append([]*memlog.Stream{f.stream}, f.others...) {
			_, last := s.Bounds()
			s.Trim(last)
		}
		c := f.start("c", options{})
		if c.Epoch("k") != a.Epoch("k") {
			t.Fatal("c opened an epoch, and this test proves nothing")
		}
		holdsToG5(t, c, b)
	})
}
