package disk

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// placed is a row on its way to its place among others.
type placed struct {
	// head is the first eight bytes of the key behind what all keys begin with,
	// zeros where it ends: most comparisons need to look at no more.
	head uint64
	row  int32
}

// inOrder appends to dst where rows lie, by key, and those of one key as they
// came.
func inOrder(dst []placed, rows []rowChange) []placed {
	if len(rows) == 0 {
		return dst
	}
	common := rows[0].key
	for i := range rows {
		for !strings.HasPrefix(rows[i].key, common) {
			common = common[:sharedLen(common, rows[i].key)]
		}
	}
	for i := range rows {
		var head [8]byte
		copy(head[:], rows[i].key[len(common):])
		dst = append(dst, placed{binary.BigEndian.Uint64(head[:]), int32(i)})
	}
	slices.SortFunc(dst, func(a, b placed) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Or(strings.Compare(rows[a.row].key, rows[b.row].key), cmp.Compare(a.row, b.row))
	})
	return dst
}

// sharedLen returns how many bytes a and b begin with together.
func sharedLen(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
