package events

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
)

// WireVersion is the version that [AppendRecord] writes: the first byte of
// every record. A reader refuses a version that it does not know; within one
// version fields are only ever appended, and a reader skips those that it does
// not know.
//
// To who can't read a record it is a fence of everything (P19). That is enough
// for what kills, or gives values. It is not for a [Pulse], an [Intent], an [End]
// and an [EpochChange]: those are frozen, which means that every build writes
// them in version 1, in records of their own.
const WireVersion = 1

// MaxDepth is how deep arrays may nest in a record.
const MaxDepth = 8

var (
	// ErrMalformed reports bytes that are not a record.
	ErrMalformed = errors.New("malformed record")
	// ErrUnknown reports a record of a version or kind that this build does
	// not know. It is valid, but not for us: a node fences everything at its
	// position.
	ErrUnknown = errors.New("record is newer than this build")
	// ErrTooLarge reports a record beyond the limits.
	ErrTooLarge = errors.New("record exceeds the limits")
)

// DecodeError says where a record could not be decoded.
type DecodeError struct {
	// Kind is [ErrMalformed], [ErrUnknown], [ErrTooLarge] or [ErrInvalid].
	Kind error
	// Change is the index of the change that could not be decoded, -1 for the
	// record itself.
	Change int
	// Field names what was being read.
	Field string
	// Detail says what was wrong with it.
	Detail string
}

func (e *DecodeError) Error() string {
	if e.Change < 0 {
		return fmt.Sprintf("decode record: %s: %v: %s", e.Field, e.Kind, e.Detail)
	}
	return fmt.Sprintf("decode record: change %d: %s: %v: %s", e.Change, e.Field, e.Kind, e.Detail)
}

func (e *DecodeError) Unwrap() error { return e.Kind }

// AppendRecord validates r and appends its wire form to dst. On an error dst
// is returned as it was.
func AppendRecord(dst []byte, r Record) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return dst, err
	}
	start := len(dst)
	b := append(dst, WireVersion)
	b = msgp.AppendArrayHeader(b, uint32(len(r.Changes)))
	for _, c := range r.Changes {
		b = appendChange(b, c)
	}
	if n := len(b) - start; n > MaxRecord {
		return dst, fmt.Errorf("encode record: %w: %d bytes, at most %d", ErrTooLarge, n, MaxRecord)
	}
	return b, nil
}

func appendChange(b []byte, c Change) []byte {
	head := func(fields uint32) {
		b = msgp.AppendArrayHeader(b, fields+1)
		b = msgp.AppendUint8(b, uint8(c.kind()))
	}
	switch c := c.(type) {
	case *Put:
		if c.Confirm {
			head(5)
		} else {
			head(4)
		}
		b = msgp.AppendString(b, c.Key)
		b = msgp.AppendBool(b, c.Version.Known)
		b = msgp.AppendUint64(b, c.Version.N)
		b = msgp.AppendBytes(b, c.Entry)
		if c.Confirm {
			b = msgp.AppendBool(b, true)
		}
	case *Invalidate:
		if c.Confirm {
			head(10)
		} else {
			head(9)
		}
		b = appendScope(b, &c.Scope)
		b = msgp.AppendBool(b, c.Soft)
		b = msgp.AppendString(b, c.Source)
		b = msgp.AppendString(b, c.Cause.Event)
		b = msgp.AppendString(b, c.Cause.Trace)
		if c.Confirm {
			b = msgp.AppendBool(b, true)
		}
	case *Intent:
		// Fields that were appended since are left out where they are empty: the
		// bytes are then those that the first build wrote.
		named := c.Writer != "" || c.Decider != ""
		if named {
			head(9)
		} else {
			head(7)
		}
		b = appendScope(b, &c.Scope)
		b = msgp.AppendBytes(b, c.Bracket[:])
		b = msgp.AppendInt64(b, c.Deadline.UnixMilli())
		if named {
			b = msgp.AppendString(b, string(c.Writer))
			b = msgp.AppendString(b, c.Decider)
		}
	case *End:
		if c.Scope.Empty() {
			head(1)
			b = msgp.AppendBytes(b, c.Bracket[:])
			break
		}
		head(6)
		b = msgp.AppendBytes(b, c.Bracket[:])
		b = appendScope(b, &c.Scope)
	case *Pulse:
		if c.Before != (Digest{}) {
			head(11)
		} else {
			head(10)
		}
		b = msgp.AppendString(b, string(c.Node))
		b = msgp.AppendBytes(b, c.Incarnation[:])
		b = msgp.AppendUint64(b, c.Number)
		b = msgp.AppendUint64(b, uint64(c.Epoch))
		b = msgp.AppendUint64(b, uint64(c.Applied))
		b = msgp.AppendBytes(b, c.Digest[:])
		b = appendStrings(b, c.Addresses)
		b = msgp.AppendUint32(b, c.Weight)
		b = msgp.AppendBool(b, c.Leave)
		b = msgp.AppendBool(b, c.Settled)
		if c.Before != (Digest{}) {
			b = msgp.AppendBytes(b, c.Before[:])
		}
	case *EpochChange:
		head(2)
		b = msgp.AppendUint64(b, uint64(c.Epoch))
		b = msgp.AppendString(b, c.Why)
	}
	return b
}

// appendScope writes the five fields of a scope.
func appendScope(b []byte, s *Scope) []byte {
	b = appendStrings(b, s.Keys)
	b = appendStrings(b, s.Tags)
	b = appendStrings(b, s.Prefixes)
	b = appendStrings(b, s.Globs)
	return msgp.AppendBool(b, s.All)
}

func appendStrings(b []byte, ss []string) []byte {
	b = msgp.AppendArrayHeader(b, uint32(len(ss)))
	for _, s := range ss {
		b = msgp.AppendString(b, s)
	}
	return b
}

// lastVersion is the highest that a version of the wire form will ever have.
// What begins with more, as text does, was published by somebody else.
const lastVersion = 31

// DecodeRecord reads a record. Strings and entries of the result share memory
// with data, which must not be changed afterwards. Every error is a
// *[DecodeError].
func DecodeRecord(data []byte) (Record, error) {
	fail := func(kind error, field, detail string) (Record, error) {
		return Record{}, &DecodeError{Kind: kind, Change: -1, Field: field, Detail: detail}
	}
	switch {
	case len(data) == 0:
		return fail(ErrMalformed, "version", "no bytes")
	case len(data) > MaxRecord:
		return fail(ErrTooLarge, "size", fmt.Sprintf("%d bytes, at most %d", len(data), MaxRecord))
	case data[0] == 0 || data[0] > lastVersion:
		return fail(ErrMalformed, "version", fmt.Sprintf("%d is none: not a record of ours", data[0]))
	case data[0] != WireVersion:
		return fail(ErrUnknown, "version", fmt.Sprintf("%d, this build knows %d", data[0], WireVersion))
	}
	body := data[1:]
	if rest, err := prescan(body, 0); err != nil {
		return fail(ErrMalformed, "structure", err.Error())
	} else if len(rest) != 0 {
		return fail(ErrMalformed, "structure", fmt.Sprintf("%d bytes behind the end", len(rest)))
	}
	n, body, err := msgp.ReadArrayHeaderBytes(body)
	if err != nil {
		return fail(ErrMalformed, "changes", err.Error())
	}
	if n == 0 {
		return fail(ErrMalformed, "changes", "none")
	}
	if n > MaxChanges {
		return fail(ErrTooLarge, "changes", fmt.Sprintf("%d, at most %d", n, MaxChanges))
	}
	r := Record{Changes: make([]Change, 0, n)}
	for i := range int(n) {
		d := decoder{b: body}
		c := d.change()
		if d.err != nil {
			d.err.Change = i
			return Record{}, d.err
		}
		r.Changes = append(r.Changes, c)
		body = d.b
	}
	if err := r.Validate(); err != nil {
		return fail(ErrInvalid, "content", err.Error())
	}
	return r, nil
}

// decoder reads fields one after the other and remembers the first failure;
// after it every read yields zero.
type decoder struct {
	b    []byte
	left uint32 // fields of the change that are not read yet
	err  *DecodeError
}

func (d *decoder) fail(kind error, field, detail string) {
	if d.err == nil {
		d.err = &DecodeError{Kind: kind, Field: field, Detail: detail}
	}
}

func (d *decoder) change() Change {
	n, b, err := msgp.ReadArrayHeaderBytes(d.b)
	if err != nil || n == 0 {
		d.fail(ErrMalformed, "change", "want an array that begins with its kind")
		return nil
	}
	d.b, d.left = b, n
	k := kind(d.uint("kind", math.MaxUint8))
	var c Change
	switch k {
	case kindPut:
		p := &Put{Key: d.string("key", MaxKey)}
		p.Version.Known = d.bool("version known")
		p.Version.N = d.uint("version", math.MaxUint64)
		p.Entry = d.bytes("entry", MaxInline)
		p.Confirm = d.left > 0 && d.bool("confirm")
		c = p
	case kindInvalidate:
		v := &Invalidate{}
		d.scope(&v.Scope)
		v.Soft = d.bool("soft")
		v.Source = d.string("source position", MaxSource)
		v.Cause.Event = d.string("cause event", MaxCause)
		v.Cause.Trace = d.string("cause trace", MaxCause)
		v.Confirm = d.left > 0 && d.bool("confirm")
		c = v
	case kindIntent:
		v := &Intent{}
		d.scope(&v.Scope)
		d.fixed("bracket", v.Bracket[:])
		v.Deadline = time.UnixMilli(d.int("deadline"))
		if d.left > 0 {
			v.Writer = NodeID(d.string("writer", MaxNodeID))
			v.Decider = d.string("decider", MaxDecider)
		}
		c = v
	case kindEnd:
		v := &End{}
		d.fixed("bracket", v.Bracket[:])
		if d.left > 0 {
			d.scope(&v.Scope)
		}
		c = v
	case kindPulse:
		v := &Pulse{Node: NodeID(d.string("node", MaxNodeID))}
		d.fixed("incarnation", v.Incarnation[:])
		v.Number = d.uint("number", math.MaxUint64)
		v.Epoch = Epoch(d.uint("epoch", math.MaxUint64))
		v.Applied = Position(d.uint("applied", math.MaxUint64))
		d.fixed("digest", v.Digest[:])
		v.Addresses = d.strings("addresses", MaxAddresses, MaxAddress)
		v.Weight = uint32(d.uint("weight", math.MaxUint32))
		v.Leave = d.bool("leave")
		v.Settled = d.bool("settled")
		if d.left > 0 {
			d.fixed("digest before", v.Before[:])
		}
		c = v
	case kindEpoch:
		v := &EpochChange{Epoch: Epoch(d.uint("epoch", math.MaxUint64))}
		v.Why = d.string("why", MaxWhy)
		c = v
	default:
		d.fail(ErrUnknown, "kind", fmt.Sprintf("%d", k))
	}
	for d.err == nil && d.left > 0 { // fields that a later build appended
		b, err := msgp.Skip(d.b)
		if err != nil {
			d.fail(ErrMalformed, "appended field", err.Error())
			break
		}
		d.b, d.left = b, d.left-1
	}
	return c
}

// next accounts for one field; it fails where the change has too few.
func (d *decoder) next(field string) bool {
	if d.err != nil {
		return false
	}
	if d.left == 0 {
		d.fail(ErrMalformed, field, "missing")
		return false
	}
	d.left--
	return true
}

func (d *decoder) scope(s *Scope) {
	s.Keys = d.strings("keys", MaxNames, MaxKey)
	s.Tags = d.strings("tags", MaxNames, MaxTag)
	s.Prefixes = d.strings("prefixes", MaxNames, MaxKey)
	s.Globs = d.strings("globs", MaxNames, MaxGlob)
	s.All = d.bool("all")
}

func (d *decoder) strings(field string, most, longest int) []string {
	if !d.next(field) {
		return nil
	}
	n, b, err := msgp.ReadArrayHeaderBytes(d.b)
	if err != nil {
		d.fail(ErrMalformed, field, err.Error())
		return nil
	}
	if int64(n) > int64(most) {
		d.fail(ErrTooLarge, field, fmt.Sprintf("%d names, at most %d", n, most))
		return nil
	}
	d.b = b
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n) // n <= len(d.b): the pre-scan walked them
	for range n {
		out = append(out, d.rawString(field, longest))
	}
	return out
}

func (d *decoder) string(field string, longest int) string {
	if !d.next(field) {
		return ""
	}
	return d.rawString(field, longest)
}

func (d *decoder) rawString(field string, longest int) string {
	if d.err != nil {
		return ""
	}
	v, b, err := msgp.ReadStringZC(d.b)
	if err != nil {
		d.fail(ErrMalformed, field, err.Error())
		return ""
	}
	if len(v) > longest {
		d.fail(ErrTooLarge, field, fmt.Sprintf("%d bytes, at most %d", len(v), longest))
		return ""
	}
	d.b = b
	// The bytes stay as they are by DecodeRecord's contract, and a replay
	// that copied every key would spend a third of its time on it.
	return unsafe.String(unsafe.SliceData(v), len(v))
}

func (d *decoder) bytes(field string, longest int) []byte {
	if !d.next(field) {
		return nil
	}
	v, b, err := msgp.ReadBytesZC(d.b)
	if err != nil {
		d.fail(ErrMalformed, field, err.Error())
		return nil
	}
	if len(v) > longest {
		d.fail(ErrTooLarge, field, fmt.Sprintf("%d bytes, at most %d", len(v), longest))
		return nil
	}
	d.b = b
	if len(v) == 0 {
		return nil
	}
	return v[:len(v):len(v)]
}

func (d *decoder) fixed(field string, dst []byte) {
	v := d.bytes(field, len(dst))
	if d.err == nil && len(v) != len(dst) {
		d.fail(ErrMalformed, field, fmt.Sprintf("%d bytes, want %d", len(v), len(dst)))
		return
	}
	copy(dst, v)
}

func (d *decoder) uint(field string, most uint64) uint64 {
	if !d.next(field) {
		return 0
	}
	v, b, err := msgp.ReadUint64Bytes(d.b)
	if err != nil {
		d.fail(ErrMalformed, field, err.Error())
		return 0
	}
	if v > most {
		d.fail(ErrTooLarge, field, fmt.Sprintf("%d, at most %d", v, most))
		return 0
	}
	d.b = b
	return v
}

func (d *decoder) int(field string) int64 {
	if !d.next(field) {
		return 0
	}
	v, b, err := msgp.ReadInt64Bytes(d.b)
	if err != nil {
		d.fail(ErrMalformed, field, err.Error())
		return 0
	}
	d.b = b
	return v
}

func (d *decoder) bool(field string) bool {
	if !d.next(field) {
		return false
	}
	v, b, err := msgp.ReadBoolBytes(d.b)
	if err != nil {
		d.fail(ErrMalformed, field, err.Error())
		return false
	}
	d.b = b
	return v
}
