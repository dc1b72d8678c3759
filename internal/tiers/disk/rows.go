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
//	partition 1  kind name   broad fence: [fence]
//	partition 2  key         key: [fence], and if there is a value [epoch's number, uvarint][short entry]
//	partition 3  key         row version: [checksum of the rest, 4][version, 8]
//	partition 4              floor: [checksum of the rest, 4][position, 8]
//	partition 9  name        meta: [checksum of the rest, 4][blob]
//	0xffff    0  "format"    the format of all of this, in decimal digits
//	0xffff    1  number      epoch, 4 bytes of number: [checksum of the rest, 4][epoch, 8]
//
// A fence is
//
//	4        CRC-32C of the row's name and of the rest, little-endian
//	uvarint  hard fence
//	uvarint  soft fence less the hard one, modulo 2^64
//
// Fences of keys lie in the row of their value, so that a fence is one blind
// write which drops the value, and a lookup is one read. A value is there in its
// short form ([tiers.AppendShort]), with a birth near to the hard fence: most of
// what is small is read in blocks, and the more rows a block holds, the more of
// them memory does.
//
// Each of the two checksums covers the name, so that a row under another name
// tells nothing; and where a value is damaged, its fence still holds.
const (
	kindBroad   = 1
	kindKey     = 2
	kindVersion = 3
	kindFloor   = 4
	kindEnd     = 5 // first kind that DropValues leaves alone
	kindMeta    = 9

	formatPartition = 0xffff
	formatName      = "format"
	kindEpoch       = 1 // of formatPartition
	// Format is the version of the layout above. A directory of another one is
	// set aside.
	Format = "3"
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

const sumLen = 4

// fenceSum is the checksum of a fence whose bytes are fence, in the row of name.
func fenceSum(name, fence []byte) uint32 {
	return crc32.Update(crc32.Checksum(name, castagnoli), castagnoli, fence)
}

// appendFence appends f as it lies in the row of name.
func appendFence(dst, name []byte, f tiers.Fence) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(f.Hard))
	dst = binary.AppendUvarint(dst, uint64(f.Soft-f.Hard))
	binary.LittleEndian.PutUint32(dst[at:], fenceSum(name, dst[at+sumLen:]))
	return dst
}

// parseRow splits the row of name into its fence and what it holds of a value,
// which is not checked.
func parseRow(name, row []byte) (f tiers.Fence, held []byte, err error) {
	if len(row) < sumLen {
		return f, nil, ErrCorruptRow
	}
	hard, n := binary.Uvarint(row[sumLen:])
	if n <= 0 {
		return f, nil, ErrCorruptRow
	}
	soft, m := binary.Uvarint(row[sumLen+n:])
	if m <= 0 {
		return f, nil, ErrCorruptRow
	}
	end := sumLen + n + m
	if binary.LittleEndian.Uint32(row) != fenceSum(name, row[sumLen:end]) {
		return f, nil, ErrCorruptRow
	}
	return tiers.Fence{Hard: events.Position(hard), Soft: events.Position(hard + soft)}, row[end:], nil
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
