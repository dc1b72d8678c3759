package tiers

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/raptorflow/tercet/internal/events"
)

// The short form of an entry leaves out what the place where it is stored says
// already, and what is zero. Behind the place's own knowledge (key, epoch, and a
// position that the birth is near to) it is
//
//	1 byte   shape: which of the fields marked ? are there
//	1 byte   flags
//	4        CRC-32C of the whole entry, little-endian
//	uvarint  birth less the near position, modulo 2^64
//	?1 byte  codec
//	?varint  created
//	?varint  expiry, less created
//	varint   soft expiry, less created  (if flagSoftExpiry)
//	uvarint  row version                (if flagVersion)
//	varint   end as a fallback, less created  (if flagExtended)
//	uvarint  length of the validator          (if flagExtended)
//	?uvarint length of the tags
//	tags, validator and payload, as in the entry
//
// The checksum is the one that the entry was sealed with. So whatever comes
// back is, to the byte, what somebody sealed for that key, epoch and birth: a
// short form that rotted, was cut or lies under another key does not come back.
const (
	shapeCodec = 1 << iota
	shapeCreated
	shapeExpiry
	shapeTags

	shapesKnown = shapeCodec | shapeCreated | shapeExpiry | shapeTags
)

// AppendShort appends the short form of e to dst. The caller keeps e's key, its
// epoch and near, which are to be at hand for [ParseShort].
func AppendShort(dst []byte, e Entry, near events.Position) []byte {
	shape := byte(0)
	created, expiry := e.CreatedMilli(), e.ExpiryMilli()
	if e.Codec() != 0 {
		shape |= shapeCodec
	}
	if created != 0 {
		shape |= shapeCreated
	}
	if expiry != 0 {
		shape |= shapeExpiry
	}
	if e.HasTags() {
		shape |= shapeTags
	}
	dst = append(dst, shape, e[2])
	dst = append(dst, e[4:crcFrom]...)
	dst = binary.AppendUvarint(dst, uint64(e.Birth()-near))
	if shape&shapeCodec != 0 {
		dst = append(dst, byte(e.Codec()))
	}
	if shape&shapeCreated != 0 {
		dst = binary.AppendVarint(dst, created)
	}
	if shape&shapeExpiry != 0 {
		dst = binary.AppendVarint(dst, expiry-created)
	}
	if Flags(e[2])&flagSoftExpiry != 0 {
		dst = binary.AppendVarint(dst, e.SoftExpiryMilli()-created)
	}
	if v := e.Version(); v.Known {
		dst = binary.AppendUvarint(dst, v.N)
	}
	if e.extended() {
		dst = binary.AppendVarint(dst, int64(e.u64(e.extensionAt()))-created)
		dst = binary.AppendUvarint(dst, uint64(e.validatorLen()))
	}
	if shape&shapeTags != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.tagsLen()))
	}
	return append(dst, e[e.keyAt()+e.keyLen():]...)
}

// ParseShort makes of a short form the entry it was made of, in dst if its
// capacity suffices. It keeps none of its arguments but dst. Every error wraps
// [ErrCorrupt].
func ParseShort(dst, b []byte, key string, epoch events.Epoch, near events.Position) (Entry, error) {
	if len(b) < 6 || b[0]&^shapesKnown != 0 || Flags(b[1])&^flagsKnown != 0 || len(key) > events.MaxKey {
		return nil, fmt.Errorf("%w: no short form", ErrCorrupt)
	}
	shape, flags, sum := b[0], Flags(b[1]), b[2:6]
	f := fields{b: b[6:]}
	birth := near + events.Position(f.uvarint())
	codec, created, expiry, soft, until := byte(0), int64(0), int64(0), int64(0), int64(0)
	version, validator, tags := uint64(0), uint64(0), uint64(0)
	if shape&shapeCodec != 0 {
		codec = f.byte()
	}
	if shape&shapeCreated != 0 {
		created = f.varint()
	}
	if shape&shapeExpiry != 0 {
		expiry = created + f.varint()
	}
	if flags&flagSoftExpiry != 0 {
		soft = created + f.varint()
	}
	if flags&flagVersion != 0 {
		version = f.uvarint()
	}
	if flags&flagExtended != 0 {
		until, validator = created+f.varint(), f.uvarint()
	}
	if shape&shapeTags != 0 {
		tags = f.uvarint()
	}
	if f.short || tags > uint64(min(len(f.b), maxTagsLen)) || validator > MaxValidator {
		return nil, fmt.Errorf("%w: a short form of %d bytes ends early", ErrCorrupt, len(b))
	}
	le := binary.LittleEndian
	e := slices.Grow(dst[:0], fixedLen+2*optional+extensionLen+len(key)+len(f.b))[:fixedLen]
	e[0], e[1], e[2], e[3] = magic, format, byte(flags), codec
	copy(e[4:], sum)
	le.PutUint64(e[offEpoch:], uint64(epoch))
	le.PutUint64(e[offBirth:], uint64(birth))
	le.PutUint64(e[offCreated:], uint64(created))
	le.PutUint64(e[offExpiry:], uint64(expiry))
	le.PutUint16(e[offKeyLen:], uint16(len(key)))
	le.PutUint16(e[offTagLen:], uint16(tags))
	if flags&flagSoftExpiry != 0 {
		e = le.AppendUint64(e, uint64(soft))
	}
	if flags&flagVersion != 0 {
		e = le.AppendUint64(e, version)
	}
	if flags&flagExtended != 0 {
		e = le.AppendUint16(le.AppendUint64(e, uint64(until)), uint16(validator))
	}
	e = append(e, key...)
	return Parse(append(e, f.b...))
}

// fields takes the fields of a short form off its beginning.
type fields struct {
	b     []byte
	short bool // b ended before a field did
}

func (f *fields) byte() byte {
	if len(f.b) == 0 {
		f.short = true
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.short = true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.short = true
		return 0
	}
	f.b = f.b[n:]
	return v
}
