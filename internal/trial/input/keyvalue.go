package input

import (
	"strconv"
	"strings"
)

// maxRepeat bounds how often one line's read is repeated.
const maxRepeat = 1000

// readKeyValue reads the operations of a key-value cache: op_time, key,
// key_size, op, op_count, …, usecase, sub_usecase. A key lies under its use
// case. SET and DELETE are real changes of what the origin holds.
func readKeyValue(s *source, o Options) (*Workload, error) {
	if err := s.skipHeader(); err != nil {
		return nil, err
	}
	t := newTrace(o, nil)
	err := s.each(t.more, func(line string) error {
		f := strings.Split(line, ",")
		if len(f) < 9 {
			return s.malformed("%d fields, want at least 9: op_time,key,key_size,op,op_count,size,cache_hits,ttl,usecase", len(f))
		}
		at, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return s.malformed("op_time %q: want seconds", clip(f[0]))
		}
		count, err := strconv.Atoi(f[4])
		if err != nil || count < 0 {
			return s.malformed("op_count %q: want a number", clip(f[4]))
		}
		t.elapsed(at)
		key := f[8] + ":" + f[1]
		switch op := f[3]; {
		case strings.HasPrefix(op, "GET"):
			for range min(count, maxRepeat) {
				t.read(key)
			}
		case strings.HasPrefix(op, "SET"), strings.HasPrefix(op, "DELETE"):
			t.write(key)
		default:
			return s.malformed("op %q: want GET, SET or DELETE", clip(op))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t.finish(s.path, "operations of a key-value cache")
}
