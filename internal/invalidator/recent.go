package invalidator

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/mutant"
)

// recent remembers events whose fences have all landed, so that the same event
// sent again costs nothing. It is a saving and no more: fences are idempotent,
// each process remembers for itself, and a bounded number. It belongs to a set
// of rules: under others the same event means something else.
//
// Only CloudEvents are remembered. Their source and id promise that another one
// with both is the same event; the id of plain JSON may be a product's, and its
// second change would be lost. Producers break promises too, so the event must
// also be the same byte for byte.
type recent struct {
	mu   sync.Mutex
	seen map[identity]bool
	ring []identity // in the order of their coming
	next int
}

// identity is what tells events apart; the zero one is no event's.
type identity [16]byte

// newRecent returns a memory of the last n events; of none if n is not positive.
func newRecent(n int) *recent {
	n = max(n, 0)
	return &recent{seen: make(map[identity]bool, min(n, 1024)), ring: make([]identity, n)}
}

// identify returns the identity of the n-th event of a message, and whether its
// fences have landed.
func (r *recent) identify(m *message.Message, n int, e *domainevent.Event) (identity, bool) {
	if len(r.ring) == 0 || e.Format != domainevent.FormatCloudEvents {
		return identity{}, false
	}
	h := sha256.New()
	var length [8]byte
	write := func(s string) {
		binary.LittleEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	for _, s := range []string{e.Source, e.ID, e.Type, e.Subject, e.Channel} {
		write(s)
	}
	for _, v := range []uint64{uint64(e.Time.UnixNano()), uint64(n)} {
		binary.LittleEndian.PutUint64(length[:], v)
		h.Write(length[:])
	}
	h.Write(m.Payload)
	id := identity(h.Sum(nil)[:16])
	if mutant.On(mutant.DuplicateById) {
		h.Reset()
		write(e.Source)
		write(e.ID)
		id = identity(h.Sum(nil)[:16])
	}
	if mutant.On(mutant.DuplicateBeforeFence) {
		defer r.remember([]identity{id})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return id, r.seen[id]
}

// remember adds events, in place of the oldest.
func (r *recent) remember(ids []identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if id == (identity{}) || r.seen[id] {
			continue
		}
		delete(r.seen, r.ring[r.next])
		r.ring[r.next], r.seen[id] = id, true
		r.next = (r.next + 1) % len(r.ring)
	}
}
