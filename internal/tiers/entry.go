package tiers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"
	"time"
	"unsafe"

	"github.com/raptorflow/tercet/internal/events"
)

// Entry is an encoded entry: header, key, tags and payload in one slice. Its
// layout, little-endian:
//
//	offset  size
//	0       1     magic, 0x7e
//	1       1     format, 1
//	2       1     flags
//	3       1     codec
//	4       4     CRC-32C of everything behind it, begun with the four bytes before
//	8       8     epoch
//	16      8     birth
//	24      8     created, Unix milliseconds
//	32      8     expiry, Unix milliseconds; 0 does not expire
//	40      2     length of the key
//	42      2     length of the tags
//	44      8     soft expiry, Unix milliseconds  (if flagSoftExpiry)
//	+       8     row version                     (if flagVersion)
//	+       8     end as a fallback, Unix ms      (if flagExtended)
//	+       2     length of the validator         (if flagExtended)
//	+       n     key
//	+       n     tags, each a length of 2 bytes and its bytes
//	+       n     validator
//	+       rest  payload
//
// The accessors trust the layout: call them on what [Append] made or [Parse]
// approved only. They return views into the slice.
type Entry []byte

const (
	magic    = 0x7e
	format   = 1
	fixedLen = 44
	optional = 8
	// extensionLen is the length of what flagExtended adds before the key.
	extensionLen = 10
	crcFrom      = 8
	offEpoch     = 8
	offBirth     = 16
	offCreated   = 24
	offExpiry    = 32
	offKeyLen    = 40
	offTagLen    = 42
)

// Flags are what an entry says about itself besides its value.
type Flags uint8

const (
	flagSoftExpiry Flags = 1 << 0
	flagVersion    Flags = 1 << 1
	// FlagNegative marks the knowledge that the origin has no such value.
	FlagNegative Flags = 1 << 2
	// FlagLowPriority and FlagHighPriority weigh in eviction.
	FlagLowPriority  Flags = 1 << 3
	FlagHighPriority Flags = 1 << 4
	// FlagPacked marks an entry whose payload is package pack's to read: on its
	// way and in the tiers further out only.
	FlagPacked   Flags = 1 << 5
	flagExtended Flags = 1 << 6

	flagsOwn   = flagSoftExpiry | flagVersion | flagExtended // say what the layout has
	flagsKnown = flagsOwn | FlagNegative | FlagLowPriority | FlagHighPriority | FlagPacked
)

// Codec names how a payload is encoded. The tiers don't look into payloads;
// the client and compression do.
type Codec uint8

// Limits of the layout.
const (
	// MaxPayload is the default for the largest payload, in bytes.
	MaxPayload = 64 << 20
	maxTagsLen = 1<<16 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodedLen returns how many bytes h and a payload of n bytes take.
func EncodedLen(h *Header, n int) int {
	size := fixedLen + len(h.Key) + n
	if !h.SoftExpiry.IsZero() {
		size += optional
	}
	if h.Version.Known {
		size += optional
	}
	if h.extended() {
		size += extensionLen + len(h.Validator)
	}
	for _, t := range h.Tags {
		size += 2 + len(t)
	}
	return size
}

// Append appends the encoding of h and payload to dst. It fails with
// [events.ErrInvalid] if a key, a tag or the flags break a rule.
func Append(dst []byte, h *Header, payload []byte) (Entry, error) {
	if err := validate(h); err != nil {
		return nil, err
	}
	start := len(dst)
	tagsLen := 0
	for _, t := range h.Tags {
		tagsLen += 2 + len(t)
	}
	flags := h.Flags &^ flagsOwn
	if !h.SoftExpiry.IsZero() {
		flags |= flagSoftExpiry
	}
	if h.Version.Known {
		flags |= flagVersion
	}
	if h.extended() {
		flags |= flagExtended
	}
	le := binary.LittleEndian
	b := append(slices.Grow(dst, EncodedLen(h, len(payload))), magic, format, byte(flags), byte(h.Codec), 0, 0, 0, 0)
	b = le.AppendUint64(b, uint64(h.Epoch))
	b = le.AppendUint64(b, uint64(h.Birth))
	b = le.AppendUint64(b, uint64(unixMilli(h.Created)))
	b = le.AppendUint64(b, uint64(endMilli(h.Expiry)))
	b = le.AppendUint16(b, uint16(len(h.Key)))
	b = le.AppendUint16(b, uint16(tagsLen))
	if flags&flagSoftExpiry != 0 {
		b = le.AppendUint64(b, uint64(endMilli(h.SoftExpiry)))
	}
	if flags&flagVersion != 0 {
		b = le.AppendUint64(b, h.Version.N)
	}
	if flags&flagExtended != 0 {
		b = le.AppendUint64(b, uint64(endMilli(h.StaleUntil)))
		b = le.AppendUint16(b, uint16(len(h.Validator)))
	}
	b = append(b, h.Key...)
	for _, t := range h.Tags {
		b = le.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	b = append(b, h.Validator...)
	b = append(b, payload...)
	e := Entry(b[start:])
	e.seal()
	return e, nil
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// endMilli is unixMilli for an end: the first instant of 1970 is one, and must
// not become "never".
func endMilli(t time.Time) int64 {
	if ms := unixMilli(t); ms != 0 || t.IsZero() {
		return ms
	}
	return -1
}

func validate(h *Header) error {
	if err := events.ValidateKey(h.Key); err != nil {
		return err
	}
	if h.Flags&^flagsKnown != 0 {
		return fmt.Errorf("%w entry: unknown flags 0x%02x", events.ErrInvalid, uint8(h.Flags&^flagsKnown))
	}
	if len(h.Tags) > events.MaxTags {
		return fmt.Errorf("%w entry: %d tags, at most %d", events.ErrInvalid, len(h.Tags), events.MaxTags)
	}
	if len(h.Validator) > MaxValidator {
		return fmt.Errorf("%w entry: validator of %d bytes, at most %d", events.ErrInvalid, len(h.Validator), MaxValidator)
	}
	size := 0
	for _, t := range h.Tags {
		if err := events.ValidateTag(t); err != nil {
			return err
		}
		size += 2 + len(t)
	}
	if size > maxTagsLen {
		return fmt.Errorf("%w entry: tags of %d bytes, at most %d", events.ErrInvalid, size, maxTagsLen)
	}
	return nil
}

// checksum covers all bytes but its own. The first four are its initial value:
// a change of any of them changes it, at no cost.
func checksum(b []byte) uint32 {
	return crc32.Update(binary.LittleEndian.Uint32(b), castagnoli, b[crcFrom:])
}

func (e Entry) seal() { binary.LittleEndian.PutUint32(e[4:], checksum(e)) }

// Stamp sets epoch and birth, which a Put does not know before its record has
// landed, and seals the entry again. The caller owns e.
func (e Entry) Stamp(epoch events.Epoch, birth events.Position) {
	binary.LittleEndian.PutUint64(e[offEpoch:], uint64(epoch))
	binary.LittleEndian.PutUint64(e[offBirth:], uint64(birth))
	e.seal()
}

// ErrCorrupt reports bytes that are not a whole entry.
var ErrCorrupt = errors.New("corrupt entry")

// Parse checks b, which came from outside of this process's memory, and
// returns it as an entry. It does not copy. Every error wraps [ErrCorrupt].
func Parse(b []byte) (Entry, error) {
	bad := func(what string, args ...any) (Entry, error) {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(what, args...))
	}
	switch {
	case len(b) < fixedLen:
		return bad("%d bytes, the header alone takes %d", len(b), fixedLen)
	case b[0] != magic:
		return bad("begins with 0x%02x, want 0x%02x", b[0], magic)
	case b[1] != format:
		return bad("format %d, this build knows %d", b[1], format)
	case Flags(b[2])&^flagsKnown != 0:
		return bad("unknown flags 0x%02x", b[2])
	}
	e := Entry(b)
	if got := checksum(b); got != binary.LittleEndian.Uint32(b[4:]) {
		return bad("checksum %08x, want %08x", got, binary.LittleEndian.Uint32(b[4:]))
	}
	// From here on the bytes are what somebody sealed. The rest guards
	// against a writer that sealed nonsense.
	if e.keyAt() > len(b) || e.payloadAt() > len(b) {
		return bad("key and tags end behind %d bytes", len(b))
	}
	if !e.plausible() {
		return bad("validator of %d bytes, fallback until %d", e.validatorLen(), e.StaleUntilMilli())
	}
	if e.keyLen() == 0 || e.keyLen() > events.MaxKey {
		return bad("key of %d bytes", e.keyLen())
	}
	tags := e.tagBytes()
	for n := 0; len(tags) > 0; n++ {
		if len(tags) < 2 || n == events.MaxTags {
			return bad("tag list")
		}
		l := int(binary.LittleEndian.Uint16(tags))
		if l == 0 || l > events.MaxTag || len(tags) < 2+l {
			return bad("tag %d of %d bytes", n, l)
		}
		tags = tags[2+l:]
	}
	return e, nil
}

func (e Entry) u64(at int) uint64 { return binary.LittleEndian.Uint64(e[at:]) }

// Epoch returns the epoch that the entry's birth belongs to.
func (e Entry) Epoch() events.Epoch { return events.Epoch(e.u64(offEpoch)) }

// Birth returns the entry's birth.
func (e Entry) Birth() events.Position { return events.Position(e.u64(offBirth)) }

// CreatedMilli returns when the value was loaded or put, in Unix milliseconds.
func (e Entry) CreatedMilli() int64 { return int64(e.u64(offCreated)) }

// ExpiryMilli returns when the entry ends, in Unix milliseconds; 0: never.
func (e Entry) ExpiryMilli() int64 { return int64(e.u64(offExpiry)) }

// Expired reports whether the entry has ended at now, in Unix milliseconds.
func (e Entry) Expired(now int64) bool {
	x := e.ExpiryMilli()
	return x != 0 && x <= now
}

// Flags returns what the entry says about itself.
func (e Entry) Flags() Flags { return Flags(e[2]) &^ flagsOwn }

// Codec returns how the payload is encoded.
func (e Entry) Codec() Codec { return Codec(e[3]) }

// SoftExpiryMilli returns when a refresh is due, in Unix milliseconds; 0:
// never.
func (e Entry) SoftExpiryMilli() int64 {
	if Flags(e[2])&flagSoftExpiry == 0 {
		return 0
	}
	return int64(e.u64(fixedLen))
}

// Version returns the row version.
func (e Entry) Version() events.Version {
	if Flags(e[2])&flagVersion == 0 {
		return events.Version{}
	}
	at := fixedLen
	if Flags(e[2])&flagSoftExpiry != 0 {
		at += optional
	}
	return events.Version{N: e.u64(at), Known: true}
}

func (e Entry) keyLen() int  { return int(binary.LittleEndian.Uint16(e[offKeyLen:])) }
func (e Entry) tagsLen() int { return int(binary.LittleEndian.Uint16(e[offTagLen:])) }

func (e Entry) keyAt() int {
	f := e[2]
	return fixedLen + optional*int(f&1) + optional*int(f>>1&1) + extensionLen*int(f>>6&1)
}

func (e Entry) payloadAt() int { return e.keyAt() + e.keyLen() + e.tagsLen() + e.validatorLen() }

func (e Entry) tagBytes() []byte {
	at := e.keyAt() + e.keyLen()
	return e[at : at+e.tagsLen()]
}

// Key returns the key as a view into e.
func (e Entry) Key() string {
	b := e[e.keyAt() : e.keyAt()+e.keyLen()]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// HasTags reports whether the entry carries any tag.
func (e Entry) HasTags() bool { return e.tagsLen() > 0 }

// Tags yields the tags as views into e.
func (e Entry) Tags() iter.Seq[string] {
	return func(yield func(string) bool) {
		for b := e.tagBytes(); len(b) > 0; {
			l := int(binary.LittleEndian.Uint16(b))
			if !yield(unsafe.String(unsafe.SliceData(b[2:]), l)) {
				return
			}
			b = b[2+l:]
		}
	}
}

// Payload returns the value's bytes as a view into e.
func (e Entry) Payload() []byte { return e[e.payloadAt():] }
