package events

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Position is a record's place in one partition of a log: its sequence number
// within the current [Epoch], counted from 1. Positions of different
// partitions or epochs are not comparable.
type Position uint64

// Epoch is the random identity of one history of a log. Epochs are compared
// for equality and never ordered. The zero Epoch names no history: a node that
// has not learnt its epoch yet holds it, and no entry carries it.
type Epoch uint64

// NewEpoch draws an epoch from random, which must be a cryptographic source
// outside of simulations.
func NewEpoch(random io.Reader) (Epoch, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("draw epoch: %w", err)
		}
		if e := Epoch(binary.BigEndian.Uint64(b[:])); e != 0 {
			return e, nil
		}
	}
}

// String returns the epoch as 16 hexadecimal digits.
func (e Epoch) String() string { return fmt.Sprintf("%016x", uint64(e)) }

// ParseEpoch reads what [Epoch.String] wrote.
func ParseEpoch(s string) (Epoch, error) {
	if len(s) != 16 {
		return 0, fmt.Errorf("epoch %q: want 16 hexadecimal digits", s)
	}
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("epoch %q: want 16 hexadecimal digits", s)
	}
	return Epoch(v), nil
}

// Incarnation is the identity of one run of one publisher: a process that
// starts again is a new incarnation, and so is the copy of a cloned disk. It
// makes record identities unique without coordination.
type Incarnation [16]byte

// NewIncarnation draws an incarnation from random.
func NewIncarnation(random io.Reader) (Incarnation, error) {
	var i Incarnation
	if _, err := io.ReadFull(random, i[:]); err != nil {
		return i, fmt.Errorf("draw incarnation: %w", err)
	}
	return i, nil
}

// String returns the incarnation as 32 hexadecimal digits.
func (i Incarnation) String() string { return hex.EncodeToString(i[:]) }

// ID names a record: who published it and as which of its records. A publisher
// that does not know whether a record landed publishes it again under the same
// ID. The ID travels beside the record, not in it, so that a reader that
// cannot decode a record still knows which one it is.
type ID struct {
	Publisher Incarnation
	Counter   uint64
}

const idTextLen = 32 + 1 + 16

// String returns the form that travels as the Nats-Msg-Id header: 32
// hexadecimal digits, a dash, 16 hexadecimal digits.
func (id ID) String() string { return string(id.Append(nil)) }

// Append appends the text form of id to dst.
func (id ID) Append(dst []byte) []byte {
	dst = hex.AppendEncode(dst, id.Publisher[:])
	dst = append(dst, '-')
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], id.Counter)
	return hex.AppendEncode(dst, n[:])
}

// ErrBadID reports a text that is no record identity.
var ErrBadID = errors.New("malformed record id")

// ParseID reads the text form of an ID. A text of any other shape, such as
// that of a message published past Tercet, is reported as [ErrBadID].
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != idTextLen || s[32] != '-' {
		return id, fmt.Errorf("%w: %q", ErrBadID, clip(s))
	}
	if !unhex(id.Publisher[:], s[:32]) {
		return ID{}, fmt.Errorf("%w: %q", ErrBadID, clip(s))
	}
	var n [8]byte
	if !unhex(n[:], s[33:]) {
		return ID{}, fmt.Errorf("%w: %q", ErrBadID, clip(s))
	}
	id.Counter = binary.BigEndian.Uint64(n[:])
	return id, nil
}

// unhex decodes lower-case hexadecimal s into dst, whose length must be half
// of s's. hex.Decode would want a []byte and so a copy of s per record.
func unhex(dst []byte, s string) bool {
	for i := range dst {
		hi, ok1 := nibble(s[2*i])
		lo, ok2 := nibble(s[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// ForeignID names a message that carries no record identity of ours: it was
// published past Tercet. The identity is made of its content, so that every
// follower that sees it computes the same digest.
func ForeignID(data []byte) ID {
	d := Digest{}.sum(data)
	return ID{Publisher: Incarnation(d)}
}

// Mark is the identity of one applied record, kept in a checkpoint so that a
// follower that comes back can tell whether it returns to the same history.
type Mark struct {
	Position Position
	ID       ID
	// Time is the log's own timestamp of the record, in Unix nanoseconds. It
	// is compared for equality only.
	Time int64
}

// Named reports whether m names a record: one without an identity is a place
// and no more.
func (m Mark) Named() bool { return m.ID != (ID{}) }

func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
