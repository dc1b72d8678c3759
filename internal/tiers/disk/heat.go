package disk

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// heat counts how often keys are looked up, one lookup in heatSample, for the
// choice of what to evict. A key has one counter, which it may share with others;
// the count halves with every turn of the hand.
//
// Counters are not locked: an increment may be lost.
type heat struct {
	turn  atomic.Uint32
	slots []atomic.Uint32 // the turn of the last increment << 8, and the count then
}

const (
	heatSample = 8
	mostSlots  = 1 << 20
)

// newHeat makes counters for about as many keys as a budget of bytes has room
// for.
func newHeat(bytes int64) *heat {
	n := uint64(min(max(bytes/1024, 1<<10), mostSlots))
	return &heat{slots: make([]atomic.Uint32, 1<<bits.Len64(n-1))}
}

// sample counts a lookup of key, sometimes.
func (h *heat) sample(key string) {
	if rand.Uint32()%heatSample == 0 {
		h.add(key)
	}
}

func (h *heat) slot(key string) *atomic.Uint32 {
	return &h.slots[xxh3.HashString(key)&uint64(len(h.slots)-1)]
}

func (h *heat) add(key string) {
	slot := h.slot(key)
	turn := h.turn.Load() & (1<<24 - 1)
	slot.Store(turn<<8 | min(h.count(slot.Load(), turn)+1, 255))
}

// of returns the count of key.
func (h *heat) of(key string) uint32 {
	return h.count(h.slot(key).Load(), h.turn.Load()&(1<<24-1))
}

func (h *heat) count(slot, turn uint32) uint32 {
	return slot & 255 >> min((turn-slot>>8)&(1<<24-1), 8)
}
