package headroom

import (
	"io/fs"
	"os"
)

// Reading is one look at the tightest of the limits.
type Reading struct {
	// Used is what counts against Limit, in bytes. Garbage does not count against
	// GOMEMLIMIT, nor does the page cache that the kernel may drop against a
	// control group's.
	Used uint64
	// Limit in bytes; 0: there is none.
	Limit uint64
	// Stalled is the share of the last ten seconds, 0 to 1, in which something
	// in the control group waited for memory; 0 where the kernel does not say.
	Stalled float64
}

// Share is how much of the limit is used; 0 without one.
func (r Reading) Share() float64 {
	if r.Limit == 0 {
		return 0
	}
	return float64(r.Used) / float64(r.Limit)
}

// tighter returns the reading with less room, stalled as the worse of the two.
func (r Reading) tighter(s Reading) Reading {
	stalled := max(r.Stalled, s.Stalled)
	if s.Limit != 0 && (r.Limit == 0 || s.Share() > r.Share()) {
		r = s
	}
	r.Stalled = stalled
	return r
}

// Look reads the process's own limits. It takes some tens of microseconds and
// is safe for concurrent use.
func Look() Reading { return look(os.DirFS("/")) }

func look(root fs.FS) Reading { return ofRuntime().tighter(ofGroups(root)) }
