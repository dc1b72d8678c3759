package wire

import (
	"fmt"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
)

// MaxKeys is how many keys one [Request] may name.
const MaxKeys = 256

// Request asks for copies of keys.
type Request struct {
	Keys []string
	// Position is the fence behind the request: a copy born before it is dead
	// on arrival, so whoever loads should have applied it. It is a place in
	// the partition of the keys, which must all lie in one; 0: no demand.
	Position events.Position
	// Deadline is when nobody is interested any more. Millisecond precision.
	Deadline time.Time
}

// Append validates q and appends its wire form to dst; on an error dst is
// returned as it was.
func (q *Request) Append(dst []byte) ([]byte, error) {
	if len(q.Keys) == 0 || len(q.Keys) > MaxKeys {
		return dst, fmt.Errorf("%w: request: %d keys, want 1 to %d", ErrMalformed, len(q.Keys), MaxKeys)
	}
	if q.Deadline.UnixMilli() <= 0 {
		return dst, fmt.Errorf("%w: request: no deadline", ErrMalformed)
	}
	start := len(dst)
	b := msgp.AppendArrayHeader(dst, 4)
	b = msgp.AppendUint64(b, Version)
	b = msgp.AppendArrayHeader(b, uint32(len(q.Keys)))
	for _, k := range q.Keys {
		if err := events.ValidateKey(k); err != nil {
			return dst, fmt.Errorf("%w: request: %w", ErrMalformed, err)
		}
		b = msgp.AppendString(b, k)
	}
	b = msgp.AppendUint64(b, uint64(q.Position))
	b = msgp.AppendUint64(b, uint64(q.Deadline.UnixMilli()))
	if n := len(b) - start; n > MaxMessage {
		return dst, fmt.Errorf("%w: request: %d bytes, at most %d", ErrMalformed, n, MaxMessage)
	}
	return b, nil
}

// DecodeRequest reads a request; it shares no memory with data.
func DecodeRequest(data []byte) (Request, error) {
	var (
		r reader
		q Request
	)
	fields := r.open(data)
	r.least("request", fields, 3)
	n := r.array("keys", MaxKeys)
	for range n {
		if r.err != nil {
			break
		}
		q.Keys = append(q.Keys, r.string("key", events.MaxKey))
	}
	q.Position = events.Position(r.uint("position", math.MaxUint64))
	ms := r.uint("deadline", math.MaxInt64)
	r.skip("appended field", fields-3)
	if err := r.end(); err != nil {
		return Request{}, err
	}
	if len(q.Keys) == 0 || ms == 0 {
		return Request{}, fmt.Errorf("%w: request: names no key or no deadline", ErrMalformed)
	}
	q.Deadline = time.UnixMilli(int64(ms))
	return q, nil
}
