package memory

import "sync/atomic"

// ghost remembers which keys were let in for a trial or turned away lately,
// and forgets them again after a stretch of traffic: its window, in bytes that
// came by.
//
// Its clock is that traffic, so that a run over the same keys in the same order
// remembers the same, however fast it goes. A word holds two keys, each by 16
// bits of its hash and 16 of the clock; the older makes room. Two goroutines
// that write one word at once may lose one of the two, which costs a trial.
type ghost struct {
	words []atomic.Uint64
	unit  uint64        // bytes that the clock counts as one
	bytes atomic.Uint64 // that came by
}

const (
	// windowUnits is the window in units of the clock, whose 16 bits come round
	// after 1,024 windows.
	windowUnits = 64
	// typicalEntry is what a copy takes, for the number of words: two keys to
	// each, for a window of twice the cache.
	typicalEntry = 256
	minWords     = 1 << 9
)

func newGhost(cache, window int) ghost {
	n := minWords
	for n < cache/typicalEntry {
		n *= 2
	}
	return ghost{words: make([]atomic.Uint64, n), unit: uint64(max(1, window/windowUnits))}
}

// now is the clock. It begins a window behind zero: empty words are old.
func (g *ghost) now() uint16 { return uint16(g.bytes.Load()/g.unit) + 2*windowUnits }

func (g *ghost) word(h uint64) *atomic.Uint64 { return &g.words[h>>16&uint64(len(g.words)-1)] }

// knows reports whether the key with hash h came by within the window.
func (g *ghost) knows(h uint64) bool {
	w, now := g.word(h).Load(), g.now()
	return match(uint32(w), h, now) || match(uint32(w>>32), h, now)
}

func match(half uint32, h uint64, now uint16) bool {
	return uint16(half>>16) == uint16(h>>48) && now-uint16(half) <= windowUnits
}

// notes remembers the key with hash h, whose copy has size bytes.
func (g *ghost) notes(h uint64, size int) {
	g.bytes.Add(uint64(size))
	w := g.word(h)
	old := w.Load()
	if uint16(old>>16) == uint16(h>>48) { // the newer of the two: it stays alone
		old = old >> 32 << 32
	} else {
		old <<= 32
	}
	w.Store(old | uint64(h>>48)<<16 | uint64(g.now()))
}
