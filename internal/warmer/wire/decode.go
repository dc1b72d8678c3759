package wire

import (
	"errors"
	"fmt"
	"math"

	"github.com/tinylib/msgp/msgp"
)

// Version is what this build writes, and the only version that it reads.
const Version = 1

// MaxMessage is the most bytes that a message may take.
const MaxMessage = 256 << 10

var (
	// ErrMalformed reports bytes that are no message, or one beyond the limits.
	ErrMalformed = errors.New("malformed warming message")
	// ErrUnknown reports a message of a version that this build does not know.
	ErrUnknown = errors.New("warming message is newer than this build")
)

// reader reads fields one after the other and keeps the first failure; after
// it every read yields zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(field, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s: %s", ErrMalformed, field, fmt.Sprintf(format, args...))
	}
}

// open checks size and version and returns how many fields follow them.
func (r *reader) open(data []byte) (fields int) {
	if len(data) > MaxMessage {
		r.fail("message", "%d bytes, at most %d", len(data), MaxMessage)
		return 0
	}
	r.b = data
	n := r.array("message", math.MaxInt32)
	if v := r.uint("version", math.MaxUint64); r.err == nil && v != Version {
		r.err = fmt.Errorf("%w: version %d, this build knows %d", ErrUnknown, v, Version)
	}
	return n - 1
}

// least fails unless an array has the fields that its first version has.
func (r *reader) least(field string, have, want int) {
	if r.err == nil && have < want {
		r.fail(field, "%d fields, want %d", have, want)
	}
}

// array reads the header of an array of at most most elements. An element
// takes a byte at least, so a length beyond the bytes that are left is a lie.
func (r *reader) array(field string, most int) int {
	if r.err != nil {
		return 0
	}
	n, b, err := msgp.ReadArrayHeaderBytes(r.b)
	switch {
	case err != nil:
		r.fail(field, "%v", err)
		return 0
	case int64(n) > int64(most):
		r.fail(field, "%d elements, at most %d", n, most)
		return 0
	case int64(n) > int64(len(b)):
		r.fail(field, "declares %d elements in %d bytes", n, len(b))
		return 0
	}
	r.b = b
	return int(n)
}

func (r *reader) string(field string, longest int) string {
	if r.err != nil {
		return ""
	}
	v, b, err := msgp.ReadStringZC(r.b)
	switch {
	case err != nil:
		r.fail(field, "%v", err)
		return ""
	case len(v) == 0 || len(v) > longest:
		r.fail(field, "%d bytes, want 1 to %d", len(v), longest)
		return ""
	}
	r.b = b
	return string(v)
}

func (r *reader) uint(field string, most uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, b, err := msgp.ReadUint64Bytes(r.b)
	switch {
	case err != nil:
		r.fail(field, "%v", err)
		return 0
	case v > most:
		r.fail(field, "%d, at most %d", v, most)
		return 0
	}
	r.b = b
	return v
}

// skip passes over n fields that a later build appended.
func (r *reader) skip(field string, n int) {
	for ; n > 0 && r.err == nil; n-- {
		b, err := msgp.Skip(r.b)
		if err != nil {
			r.fail(field, "%v", err)
			return
		}
		r.b = b
	}
}

// end fails if anything is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail("message", "%d bytes behind the end", len(r.b))
	}
	return r.err
}
