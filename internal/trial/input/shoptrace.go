package input

import (
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"
)

// readShopTrace reads the accesses of a shop's own cache: one big-endian int32
// each, of which bits 27 to 31 are the object's type, 10 to 26 its id and 0 to
// 9 an index within it. The key is type:id:index, so that an object's parts
// lie under one prefix; every value carries its type as tag as well.
func readShopTrace(s *source, o Options) (*Workload, error) {
	t := newTrace(o, typeTags)
	var b [4]byte
	for t.more() {
		n, err := io.ReadFull(s.r, b[:])
		if errors.Is(err, io.EOF) {
			break
		}
		s.line++
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, s.malformed("the last record has %d bytes, want 4", n)
		}
		if err != nil {
			return nil, s.broken(err)
		}
		t.read(shopTraceKey(binary.BigEndian.Uint32(b[:])))
	}
	return t.finish(s.path, "reads of a shop's own cache")
}

func shopTraceKey(v uint32) string {
	kind, id, index := v>>27, v>>10&(1<<17-1), v&(1<<10-1)
	var b strings.Builder
	b.WriteString(strconv.FormatUint(uint64(kind), 10))
	b.WriteByte(':')
	b.WriteString(strconv.FormatUint(uint64(id), 10))
	b.WriteByte(':')
	b.WriteString(strconv.FormatUint(uint64(index), 10))
	return b.String()
}

// typeTags gives a value its object's type as tag.
func typeTags(key string) []string {
	kind, _, _ := strings.Cut(key, ":")
	return []string{"type:" + kind}
}
