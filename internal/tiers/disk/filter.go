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
// A store of few keys is answered for by a small one, which the processor's
// cache holds: a line of the large one comes from main memory, and costs a
// twentieth of a lookup.
//
// Whoever writes a row adds its key before the row can be seen.
type filter struct {
	small, large blocks
	// room is how many keys the small one can take yet. Once there is none it
	// is neither kept up nor asked.
	room atomic.Int64
	// ready: every row of the store is in. Before, everything is maybe there.
	ready atomic.Bool
}

const (
	// filterBytes is the filter's size: at a million rows one lookup in ten
	// thousand is made in vain, at ten millions one in six.
	filterBytes = 4 << 20
	// Of the small one, at which one in five thousand is made in vain.
	smallBytes = 64 << 10
	smallKeys  = 16 << 10
)

func newFilter() *filter {
	f := &filter{small: make(blocks, smallBytes/64), large: make(blocks, filterBytes/64)}
	f.room.Store(smallKeys)
	return f
}

// add makes mayHave true for key.
func (f *filter) add(key string) {
	h := xxh3.HashString(key)
	if f.room.Load() > 0 && f.small.add(h) {
		f.room.Add(-1)
	}
	f.large.add(h)
}

// mayHave reports whether key may have a row.
func (f *filter) mayHave(key string) bool {
	if !f.ready.Load() {
		return true
	}
	h := xxh3.HashString(key)
	if f.room.Load() > 0 {
		return f.small.mayHave(h)
	}
	return f.large.mayHave(h)
}

// blocks are a Bloom filter, a cache line each.
type blocks [][8]atomic.Uint64

const probes = 4

// add reports whether h was certainly new.
func (f blocks) add(h uint64) (fresh bool) {
	b := &f[h>>40%uint64(len(f))]
	for range probes {
		word, bit := &b[h&7], uint64(1)<<(h>>3&63)
		if word.Load()&bit == 0 {
			word.Or(bit)
			fresh = true
		}
		h >>= 9
	}
	return fresh
}

func (f blocks) mayHave(h uint64) bool {
	b := &f[h>>40%uint64(len(f))]
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
		err := s.walk("learn keys", p, kindKey, "", func(name, _ []byte) error {
			if s.closed.Load() {
				return errEnough
			}
			s.filter.add(string(name[nameHead:]))
			return nil
		})
		if err != nil {
			return
		}
	}
	s.filter.ready.Store(true)
}
