package disk

import (
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// filter knows keys that certainly have no row, so that looking them up costs
// a glance at memory instead of a walk through pebble. It is a blocked Bloom
// filter: a key sets four bits within one cache line. Bits are never cleared;
// a filter that fills up answers "maybe" more often, and costs a lookup then.
//
// Whoever writes a row adds its key before the row can be seen.
type filter struct {
	blocks []block
	// ready: every row of the store is in. Before, everything is maybe there.
	ready atomic.Bool
}

type block [8]atomic.Uint64

// filterBytes is the filter's size: at a million rows one lookup in ten
// thousand is made in vain, at ten millions one in six.
const filterBytes = 4 << 20

func newFilter() *filter { return &filter{blocks: make([]block, filterBytes/64)} }

func (f *filter) at(key string) (*block, uint64) {
	h := xxh3.HashString(key)
	return &f.blocks[h>>40%uint64(len(f.blocks))], h
}

const probes = 4

// add makes mayHave true for key.
func (f *filter) add(key string) {
	b, h := f.at(key)
	for range probes {
		word, bit := &b[h&7], uint64(1)<<(h>>3&63)
		if word.Load()&bit == 0 {
			word.Or(bit)
		}
		h >>= 9
	}
}

// mayHave reports whether key may have a row.
func (f *filter) mayHave(key string) bool {
	if !f.ready.Load() {
		return true
	}
	b, h := f.at(key)
	for range probes {
		if b[h&7].Load()&(1<<(h>>3&63)) == 0 {
			return false
		}
		h >>= 9
	}
	return true
}

// learn adds every key of a store that was not empty, while it is in use
// already. A store that dies or is closed meanwhile needs no filter any more.
func (s *Store) learn() {
	defer close(s.learnt)
	for p := range s.cfg.Partitions {
		err := s.walk("learn keys", p, kindKey, "", func(rest, _ []byte) error {
			if s.closed.Load() {
				return errEnough
			}
			s.filter.add(string(rest))
			return nil
		})
		if err != nil {
			return
		}
	}
	s.filter.ready.Store(true)
}
