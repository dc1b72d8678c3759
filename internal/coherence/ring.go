package coherence

import "github.com/raptorflow/tercet/internal/events"

// remembered is how many digests a World keeps behind its place, 16 bytes
// each. A member or a witness that reports an older place than that can't be
// compared, so it should cover what a busy log takes in between two pulses.
const remembered = 1 << 16

// ring remembers the digests of the last positions.
type ring struct {
	digests []events.Digest // grows up to remembered
	last    events.Position
	n       int
}

func (r *ring) push(p events.Position, d events.Digest) {
	if p != r.last+1 {
		r.n = 0
	}
	if r.n == len(r.digests) && r.n < remembered {
		r.grow()
	}
	r.digests[uint64(p)%uint64(len(r.digests))] = d
	r.last = p
	r.n = min(r.n+1, len(r.digests))
}

// grow doubles the ring: most logs are quiet, and many of them may be open.
func (r *ring) grow() {
	digests := make([]events.Digest, max(64, 2*len(r.digests)))
	for i := range r.n {
		p := uint64(r.last) - uint64(i)
		digests[p%uint64(len(digests))] = r.digests[p%uint64(len(r.digests))]
	}
	r.digests = digests
}

func (r *ring) at(p events.Position) (events.Digest, bool) {
	if r.n == 0 || p > r.last || uint64(r.last-p) >= uint64(r.n) {
		return events.Digest{}, false
	}
	return r.digests[uint64(p)%uint64(len(r.digests))], true
}

func (r *ring) forget() { r.n = 0 }
