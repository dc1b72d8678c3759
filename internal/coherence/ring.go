package coherence

import "github.com/raptorflow/tercet/internal/events"

// remembered is how many digests a World keeps behind its place, 16 bytes
// each. A member or a witness that reports an older place than that can't be
// compared, so it should cover what a busy log takes in between two pulses.
const remembered = 1 << 16

// ring remembers the digests of the last positions.
type ring struct {
	digests []events.Digest
	last    events.Position
	n       int
}

func (r *ring) push(p events.Position, d events.Digest) {
	if r.digests == nil {
		r.digests = make([]events.Digest, remembered)
	}
	if p != r.last+1 {
		r.n = 0
	}
	r.digests[uint64(p)%remembered] = d
	r.last = p
	r.n = min(r.n+1, remembered)
}

func (r *ring) at(p events.Position) (events.Digest, bool) {
	if r.n == 0 || p > r.last || uint64(r.last-p) >= uint64(r.n) {
		return events.Digest{}, false
	}
	return r.digests[uint64(p)%remembered], true
}

func (r *ring) forget() { r.n = 0 }
