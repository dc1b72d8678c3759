package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"unsafe"
)

// data is a set of keys and what each must hold. Both sides of a pairing read
// the same keys in the same random order, each key once before any repeats.
type data struct {
	names [][]byte // as the raw parts take them
	keys  []string // the same bytes, as ours takes them
	// filling is the order in which stores are filled: another random one. In
	// the order of reading, what is read next would lie beside what was read
	// last, and whoever is filled by one goroutine would profit more than who is
	// filled by many.
	filling []int
	payload int
}

const (
	// prefix is what all keys lie under; tag is what all values carry where a
	// part asks for it.
	prefix = "product:"
	tag    = "catalogue"
)

// noise is where values are cut from: bytes that no block compression shrinks,
// few enough to stay in the processor's cache, so that the check costs little
// and the same on both sides.
var noise = func() []byte {
	b := make([]byte, 16<<10)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b) // never fails
	return b
}()

func newData(n, payload int) *data {
	d := &data{payload: payload, names: make([][]byte, n), keys: make([]string, n)}
	random := rand.New(rand.NewPCG(1, uint64(n)))
	order := random.Perm(n)
	d.filling = random.Perm(n)
	arena := make([]byte, 0, n*(len(prefix)+8))
	for at, i := range order {
		from := len(arena)
		arena = append(append(arena, prefix...), strconv.Itoa(10_000_000+i)...)
		d.names[at] = arena[from:len(arena):len(arena)]
		d.keys[at] = unsafe.String(&arena[from], len(arena)-from)
	}
	return d
}

// value returns what key i must hold: its number, and a stretch of noise that
// the number picks.
func (d *data) value(i int) []byte {
	v := make([]byte, d.payload)
	binary.LittleEndian.PutUint64(v, uint64(i))
	copy(v[8:], d.stretch(i))
	return v
}

func (d *data) stretch(i int) []byte {
	from := int(uint32(i)*2654435761) % (len(noise) - d.payload)
	return noise[from : from+d.payload-8]
}

// right reports whether v is, to the byte, what key i must hold.
func (d *data) right(i int, v []byte) bool {
	return len(v) == d.payload && binary.LittleEndian.Uint64(v) == uint64(i) && bytes.Equal(v[8:], d.stretch(i))
}

// cursor walks over the keys again and again.
type cursor struct{ at, n int }

func (c *cursor) next() int {
	i := c.at
	if c.at++; c.at == c.n {
		c.at = 0
	}
	return i
}
