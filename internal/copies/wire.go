package copies

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

const version = 1

// maxKeys bounds the keys of one question.
const maxKeys = 1024

// errMessage reports bytes that are no message of ours.
var errMessage = errors.New("malformed message about copies")

// Token returns a node's name as one part of a subject: bytes other than
// letters, digits, '_' and '-' become '=' and two hexadecimal digits.
func Token(id events.NodeID) string {
	var b strings.Builder
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}

func appendShipment(b []byte, s node.Shipment) []byte {
	b = append(b, version)
	b = msgp.AppendInt(b, s.Partition)
	b = msgp.AppendUint64(b, uint64(s.Epoch))
	b = msgp.AppendUint64(b, uint64(s.At))
	b = msgp.AppendBytes(b, s.Digest[:])
	b = msgp.AppendArrayHeader(b, uint32(len(s.Entries)))
	for _, e := range s.Entries {
		b = msgp.AppendBytes(b, e)
	}
	return b
}

// decodeShipment returns the shipment in b, whose bytes its entries are.
func decodeShipment(b []byte) (node.Shipment, error) {
	var s node.Shipment
	r := reader{b: b}
	r.version()
	s.Partition = read(&r, msgp.ReadIntBytes)
	s.Epoch = events.Epoch(read(&r, msgp.ReadUint64Bytes))
	s.At = events.Position(read(&r, msgp.ReadUint64Bytes))
	if d := read(&r, msgp.ReadBytesZC); len(d) == len(s.Digest) {
		copy(s.Digest[:], d)
	} else {
		r.bad = true
	}
	n := r.count()
	for range n {
		s.Entries = append(s.Entries, tiers.Entry(read(&r, msgp.ReadBytesZC)))
	}
	if r.bad {
		return node.Shipment{}, errMessage
	}
	return s, nil
}

func appendQuestion(b []byte, partition int, keys []string) []byte {
	b = append(b, version)
	b = msgp.AppendInt(b, partition)
	b = msgp.AppendArrayHeader(b, uint32(len(keys)))
	for _, k := range keys {
		b = msgp.AppendString(b, k)
	}
	return b
}

func decodeQuestion(b []byte) (partition int, keys []string, err error) {
	r := reader{b: b}
	r.version()
	partition = read(&r, msgp.ReadIntBytes)
	n := r.count()
	if n > maxKeys {
		return 0, nil, errMessage
	}
	for range n {
		keys = append(keys, read(&r, msgp.ReadStringBytes))
	}
	if r.bad {
		return 0, nil, errMessage
	}
	return partition, keys, nil
}

// reader reads fields and remembers that one failed. It tolerates fields that a
// later version appended.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) version() {
	if len(r.b) == 0 || r.b[0] != version {
		r.bad = true
		return
	}
	r.b = r.b[1:]
}

// count reads the length of an array, each of whose elements takes a byte at
// least: a greater one is a lie.
func (r *reader) count() int {
	n := read(r, msgp.ReadArrayHeaderBytes)
	if r.bad || int64(n) > int64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func read[T any](r *reader, from func([]byte) (T, []byte, error)) T {
	var zero T
	if r.bad {
		return zero
	}
	v, rest, err := from(r.b)
	if err != nil {
		r.bad = true
		return zero
	}
	r.b = rest
	return v
}
