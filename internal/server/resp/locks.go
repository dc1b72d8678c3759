package resp

import (
	"hash/maphash"
	"slices"
	"sync"
)

// stripes make commands that look at a key before they write it atomic among
// the commands of this node.
//
// They are held while the node writes to the log, and are the one lock in
// Tercet that is held across I/O: what they exclude is exactly that another
// write happens meanwhile. Every command has a deadline, so that nobody waits
// for ever; plain writes share a stripe and don't wait for each other.
type stripes struct {
	seed maphash.Seed
	of   [256]sync.RWMutex
}

func newStripes() *stripes { return &stripes{seed: maphash.MakeSeed()} }

func (s *stripes) index(key []byte) uint8 { return uint8(maphash.Bytes(s.seed, key)) }

// alone returns with key's stripe held against everybody.
func (s *stripes) alone(key []byte) (release func()) {
	m := &s.of[s.index(key)]
	m.Lock()
	return m.Unlock
}

// shared returns with the stripes of keys held against those who want to be
// alone. It takes them in order of their index: a waiting writer holds up
// readers, so that two who took them in different orders could block each
// other for good.
func (s *stripes) shared(keys ...[]byte) (release func()) {
	indexes := make([]uint8, 0, 8)
	for _, k := range keys {
		indexes = append(indexes, s.index(k))
	}
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	for _, i := range indexes {
		s.of[i].RLock()
	}
	return func() {
		for _, i := range indexes {
			s.of[i].RUnlock()
		}
	}
}
