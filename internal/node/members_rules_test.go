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
		b.log.Cut()
		f.trimAll()
		a.put("other", "x")
		f.trimAll()
		c := f.start("c", options{})
		holdsToG5(t, c, b)
	})
}

// trimAll trims every log up to its last record.
func (f *fleet) trimAll() {
	f.t.Helper()
	for _, s := range append([]*memlog.Stream{f.stream}, f.others...) {
		_, last := s.Bounds()
		s.Trim(last)
	}
}
