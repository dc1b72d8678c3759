package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Rows. A name is the partition (2 bytes, big-endian), the kind and the rest,
// so that all that a partition drops at once is one range:
//
//	partition 1  kind name   broad fence: [row header]
//	partition 2  key         key: [row header][entry]
//	partition 3  key         row version: [checksum of the rest, 4][version, 8]
//	partition 4              floor: [checksum of the rest, 4][position, 8]
//	partition 9  name        meta: [checksum of the rest, 4][blob]
//	0xffff    0  "format"    the format of all of this, in decimal digits
//
// A row header, little-endian:
//
//	0   1   format, 1
//	1   3   zero
//	4   4   CRC-32C of the two positions
//	8   8   hard fence
//	16  8   soft fence
//
// Fences of keys lie in the row of their value, so that a fence is one blind
// write which drops the value, and a lookup is one read.
const (
	kindBroad   = 1
	kindKey     = 2
	kindVersion = 3
	kindFloor   = 4
	kindEnd     = 5 // first kind that DropValues leaves alone
	kindMeta    = 9

	rowFormat = 1
	headerLen = 24

	formatPartition = 0xffff
	formatName      = "format"
	// Format is the version of the layout above. A directory of another one is
	// set aside.
	Format = "2"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorruptRow reports a row whose fence can't be read: the key may have been
// fenced at any position up to the applied one.
var ErrCorruptRow = errors.New("corrupt row")

const nameHead = 3

func appendName(dst []byte, partition int, kind byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(partition)), kind)
}

func putName(dst []byte, partition int, kind byte, rest string) {
	binary.BigEndian.PutUint16(dst, uint16(partition))
	dst[2] = kind
	copy(dst[nameHead:], rest)
}

func putHeader(dst []byte, f tiers.Fence) {
	_ = dst[headerLen-1]
	binary.LittleEndian.PutUint64(dst[8:], uint64(f.Hard))
	binary.LittleEndian.PutUint64(dst[16:], uint64(f.Soft))
	binary.LittleEndian.PutUint32(dst, rowFormat)
	binary.LittleEndian.PutUint32(dst[4:], crc32.Checksum(dst[8:headerLen], castagnoli))
}

func appendHeader(dst []byte, f tiers.Fence) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, headerLen)...)
	putHeader(dst[n:], f)
	return dst
}

// parseRow splits a row into its fence and the bytes of its entry, which are
// not checked.
func parseRow(row []byte) (tiers.Fence, []byte, error) {
	if len(row) < headerLen || binary.LittleEndian.Uint32(row) != rowFormat ||
		binary.LittleEndian.Uint32(row[4:]) != crc32.Checksum(row[8:headerLen], castagnoli) {
		return tiers.Fence{}, nil, ErrCorruptRow
	}
	return tiers.Fence{
		Hard: events.Position(binary.LittleEndian.Uint64(row[8:])),
		Soft: events.Position(binary.LittleEndian.Uint64(row[16:])),
	}, row[headerLen:], nil
}

// appendSealed appends a checksum of blob and blob.
func appendSealed(dst, blob []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(blob, castagnoli))
	return append(dst, blob...)
}

func unseal(row []byte) ([]byte, error) {
	if len(row) < 4 || binary.LittleEndian.Uint32(row) != crc32.Checksum(row[4:], castagnoli) {
		return nil, ErrCorruptRow
	}
	return row[4:], nil
}
