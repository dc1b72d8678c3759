package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// dice is a source of randomness that one actor owns, so that what one actor
// draws does not depend on when another draws.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64, actor string) *dice {
	h := fnv.New64a()
	h.Write([]byte(actor))
	return &dice{r: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// n returns a number in [0, below).
func (d *dice) n(below int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(below)
}

func (d *dice) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < p
}

// between returns a duration in [from, to), to the nanosecond, so that events
// hardly ever share an instant.
func (d *dice) between(from, to time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return from + time.Duration(d.r.Int64N(int64(to-from)))
}

// Read fills b, as an io.Reader.
func (d *dice) Read(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range b {
		b[i] = byte(d.r.Uint32())
	}
	return len(b), nil
}

func pick[T any](d *dice, of []T) T { return of[d.n(len(of))] }
