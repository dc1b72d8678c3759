package snapshot

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// RowKind says what a row holds.
type RowKind byte

// The kinds of rows, in their order within a partition.
const (
	// Broad is the fence of a tag, a prefix, a glob or everything; its name is
	// one byte, which only the node understands, and the fence's name.
	Broad RowKind = 1
	// Key is a key's fence and, behind it, its copy.
	Key RowKind = 2
	// RowVersion is the row version of a key's latest Put, in Held.
	RowVersion RowKind = 3
	// Floor is the fence of keys without a row, in Fence.Hard.
	Floor RowKind = 4
	// State is the partition's world but for its broad fences, in Held.
	State RowKind = 9
)

// gone marks, in an increment, a row that the base has and the image has not.
const gone = 0x80

// Row is one thing that a node knows.
type Row struct {
	Partition int
	Kind      RowKind
	Name      string
	Fence     tiers.Fence // of Broad, Key and Floor
	Held      []byte      // nil: nothing
}

// compare orders rows by what they are of.
func (r *Row) compare(o *Row) int {
	if c := cmp.Compare(r.Partition, o.Partition); c != 0 {
		return c
	}
	if c := cmp.Compare(r.Kind&^gone, o.Kind&^gone); c != 0 {
		return c
	}
	return strings.Compare(r.Name, o.Name)
}

func (r *Row) same(o *Row) bool {
	return r.Kind == o.Kind && r.Fence == o.Fence && string(r.Held) == string(o.Held)
}

// mostRow bounds a row's bytes: a partition's state may name many members and
// open brackets.
const mostRow = 32 << 20

// append appends the row's bytes to dst.
func (r *Row) append(dst []byte) []byte {
	dst = append(dst, byte(r.Kind))
	dst = binary.AppendUvarint(dst, uint64(r.Partition))
	dst = binary.AppendUvarint(dst, uint64(len(r.Name)))
	dst = append(dst, r.Name...)
	dst = binary.AppendUvarint(dst, uint64(r.Fence.Hard))
	dst = binary.AppendUvarint(dst, uint64(r.Fence.Soft))
	dst = binary.AppendUvarint(dst, uint64(len(r.Held)))
	return append(dst, r.Held...)
}

var errRow = errors.New("a row that is none")

// cutRow reads the first row of b, which its Held refers to.
func cutRow(b []byte) (r Row, rest []byte, err error) {
	if len(b) == 0 {
		return r, nil, errRow
	}
	c := cutter{b: b[1:]}
	r.Kind = RowKind(b[0])
	r.Partition = int(c.uint(1 << 16))
	r.Name = string(c.bytes())
	r.Fence = tiers.Fence{Hard: events.Position(c.uint(0)), Soft: events.Position(c.uint(0))}
	r.Held = c.bytes()
	switch r.Kind &^ gone {
	case Broad, Key, RowVersion, Floor, State:
	default:
		return r, nil, fmt.Errorf("%w: kind %d", errRow, r.Kind)
	}
	if c.bad {
		return r, nil, errRow
	}
	return r, c.b, nil
}

// cutter reads numbers and lengths, and remembers that one was wrong.
type cutter struct {
	b   []byte
	bad bool
}

// uint reads a number below limit; 0: any.
func (c *cutter) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || limit > 0 && v >= limit {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cutter) bytes() []byte {
	n := c.uint(mostRow)
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	if n == 0 {
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}
