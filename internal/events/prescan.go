package events

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errShort = errors.New("declares more than there is")

// prescan walks one msgpack value and returns what is behind it. It proves,
// before anything is decoded or allocated, that every declared length lies
// within the bytes that are there and that nesting stays within [MaxDepth].
// Maps, extensions and floats have no place in a record.
func prescan(b []byte, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	if len(b) == 0 {
		return nil, errShort
	}
	c := b[0]
	switch {
	case c <= 0x7f || c >= 0xe0: // fixint
		return b[1:], nil
	case c >= 0x90 && c <= 0x9f: // fixarray
		return prescanArray(b[1:], uint64(c&0x0f), depth)
	case c >= 0xa0 && c <= 0xbf: // fixstr
		return skip(b, 1, uint64(c&0x1f))
	}
	switch c {
	case 0xc0, 0xc2, 0xc3: // nil, false, true
		return b[1:], nil
	case 0xcc, 0xd0: // uint8, int8
		return skip(b, 1, 1)
	case 0xcd, 0xd1:
		return skip(b, 1, 2)
	case 0xce, 0xd2:
		return skip(b, 1, 4)
	case 0xcf, 0xd3:
		return skip(b, 1, 8)
	case 0xc4, 0xd9: // bin8, str8
		n, err := length(b, 1)
		if err != nil {
			return nil, err
		}
		return skip(b, 2, n)
	case 0xc5, 0xda:
		n, err := length(b, 2)
		if err != nil {
			return nil, err
		}
		return skip(b, 3, n)
	case 0xc6, 0xdb:
		n, err := length(b, 4)
		if err != nil {
			return nil, err
		}
		return skip(b, 5, n)
	case 0xdc, 0xdd: // array16, array32
		width := 2 << (c - 0xdc)
		n, err := length(b, width)
		if err != nil {
			return nil, err
		}
		return prescanArray(b[1+width:], n, depth)
	}
	return nil, fmt.Errorf("type 0x%02x has no place in a record", c)
}

func prescanArray(b []byte, n uint64, depth int) ([]byte, error) {
	if n > uint64(len(b)) { // an element takes a byte at least
		return nil, errShort
	}
	var err error
	for range n {
		if b, err = prescan(b, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// length reads the big-endian length of width bytes behind a type byte.
func length(b []byte, width int) (uint64, error) {
	if len(b) < 1+width {
		return 0, errShort
	}
	switch width {
	case 1:
		return uint64(b[1]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b[1:])), nil
	}
	return uint64(binary.BigEndian.Uint32(b[1:])), nil
}

func skip(b []byte, head int, n uint64) ([]byte, error) {
	if uint64(len(b)) < uint64(head)+n {
		return nil, errShort
	}
	return b[uint64(head)+n:], nil
}
