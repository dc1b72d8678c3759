// Package keys builds cache keys, and the prefixes that invalidate them, from
// the same parts:
//
//	product := keys.Entity("product").In(keys.Tenant("acme")).ID(17)
//	key, err := product.Action("page").Param("lang", "en").Key()   // @tenant:acme:product:17:page:lang=en
//	prefix, err := product.Prefix()                                // @tenant:acme:product:17:
//
// A key's segments are separated by colons, and invalidating a prefix kills all
// keys that begin with its segments. What a part contains of colons, percent
// signs and at signs is escaped, so that two lists of parts never make one key.
package keys

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Limits.
const (
	// DefaultMaxLength is the length in bytes beyond which a key's parameters
	// are hashed, unless [Builder.MaxLength] says otherwise.
	DefaultMaxLength = 256
	// MaxLength is the longest key that a domain takes, in bytes.
	MaxLength = events.MaxKey
)

var (
	// ErrEmpty reports a part that is empty, most often an id that was not set:
	// one key for all that lack it would be worse than none.
	ErrEmpty = errors.New("empty part of a key")
	// ErrSecret reports a part that looks like a secret. Keys turn up in logs,
	// metrics and events. The error does not show it.
	ErrSecret = errors.New("part of a key looks like a secret")
	// ErrTooLong reports a key that is too long even with its parameters hashed.
	ErrTooLong = errors.New("key is too long")
	// ErrPart reports an id of a type that has no one spelling.
	ErrPart = errors.New("part of a key can't be spelt")
)

// Strategy says how parameters become part of a key.
type Strategy uint8

const (
	// Plain writes them into one last segment, ordered by name.
	Plain Strategy = iota
	// Hierarchical gives each a segment of its own, in the order given, so that
	// prefixes can end between them.
	Hierarchical
	// Hashed writes a hash of them, in the order given.
	Hashed
	// Semantic writes a hash of them that does not depend on the order of their
	// names: equal requests give equal keys. Several values of one name keep
	// their order, since it may mean something.
	Semantic
)

// Scope says whose a key is. The zero Scope is global.
type Scope struct{ kind, id string }

// Tenant is the scope of one tenant.
func Tenant(id string) Scope { return Scope{"tenant", id} }

// User is the scope of one user.
func User(id string) Scope { return Scope{"user", id} }

// Session is the scope of one session. Its id lets others in, so that only its
// hash becomes part of the key.
func Session(id string) Scope {
	if id != "" {
		id = digest([]byte(id))
	}
	return Scope{"session", id}
}

// Builder gathers the parts of a key. It is a value: every method returns
// another Builder and leaves its receiver as it was, so that one can be kept and
// shared between goroutines.
type Builder struct {
	scopes   []Scope
	segments []string // as given
	params   []param
	strategy Strategy
	longest  int
	allowed  []string
	err      error
}

type param struct{ name, value string }

// Entity begins a key of an entity such as "product".
func Entity(name string) Builder {
	return Builder{longest: DefaultMaxLength}.segment("entity", name)
}

func (b Builder) segment(what, s string) Builder {
	if s == "" {
		return b.fail(fmt.Errorf("%w: %s", ErrEmpty, what))
	}
	if looksSecret(s) {
		return b.fail(fmt.Errorf("%w: %s", ErrSecret, what))
	}
	b.segments = append(slices.Clip(b.segments), s)
	return b
}

func (b Builder) fail(err error) Builder {
	if b.err == nil {
		b.err = err
	}
	return b
}

// In puts the key into a scope; several go from the outer to the inner.
func (b Builder) In(scopes ...Scope) Builder {
	for _, s := range scopes {
		if s == (Scope{}) {
			continue
		}
		if s.id == "" {
			return b.fail(fmt.Errorf("%w: id of a %s scope", ErrEmpty, s.kind))
		}
		if looksSecret(s.id) {
			return b.fail(fmt.Errorf("%w: id of a %s scope", ErrSecret, s.kind))
		}
		b.scopes = append(slices.Clip(b.scopes), s)
	}
	return b
}

// ID adds the entity's id: a string, an integer, a boolean, a [time.Time] or a
// [fmt.Stringer].
func (b Builder) ID(id any) Builder {
	s, err := spell(id)
	if err != nil {
		return b.fail(fmt.Errorf("id: %w", err))
	}
	return b.segment("id", s)
}

// Action adds what the value is of the entity, such as "page" or "price".
func (b Builder) Action(name string) Builder { return b.segment("action", name) }

// Param adds a parameter; its value may be of the types that [Builder.ID]
// takes, and empty.
func (b Builder) Param(name string, value any) Builder {
	v, err := spell(value)
	switch {
	case name == "":
		return b.fail(fmt.Errorf("%w: name of a parameter", ErrEmpty))
	case err != nil:
		return b.fail(fmt.Errorf("parameter %s: %w", name, err))
	case !slices.Contains(b.allowed, name) && (namesSecret(name) || looksSecret(v)):
		return b.fail(fmt.Errorf("%w: parameter %s", ErrSecret, name))
	}
	b.params = append(slices.Clip(b.params), param{name, v})
	return b
}

// Params adds parameters such as those of a URL's query, ordered by name.
func (b Builder) Params(values map[string][]string) Builder {
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		for _, v := range values[n] {
			b = b.Param(n, v)
		}
	}
	return b
}

// Allow lets parameters of these names pass, added later, although they look
// like secrets.
func (b Builder) Allow(names ...string) Builder {
	b.allowed = append(slices.Clip(b.allowed), names...)
	return b
}

// By chooses how parameters become part of the key; default [Plain].
func (b Builder) By(s Strategy) Builder {
	b.strategy = s
	return b
}

// MaxLength sets the length in bytes beyond which parameters are hashed; at
// most [MaxLength].
func (b Builder) MaxLength(bytes int) Builder {
	if bytes < 1 || bytes > MaxLength {
		return b.fail(fmt.Errorf("%w: a limit of %d bytes, want 1 to %d", ErrTooLong, bytes, MaxLength))
	}
	b.longest = bytes
	return b
}

// Key returns the key. Its errors wrap [ErrEmpty], [ErrSecret], [ErrTooLong] or
// [ErrPart], and name the part.
func (b Builder) Key() (string, error) {
	if b.err != nil {
		return "", b.err
	}
	head := b.head()
	if len(b.params) == 0 {
		return b.fitting(head)
	}
	switch b.strategy {
	case Hashed:
		return b.fitting(head + ":#" + hashOf(b.params))
	case Semantic:
		return b.fitting(head + ":#" + hashOf(b.sorted()))
	}
	params, between := b.params, ":"
	if b.strategy == Plain {
		params, between = b.sorted(), "&"
	}
	key := head
	for i, p := range params {
		if i == 0 {
			key += ":"
		} else {
			key += between
		}
		key += escapeParam(p.name) + "=" + escapeParam(p.value)
	}
	if len(key) > b.longest {
		return b.fitting(head + ":#" + hashOf(params))
	}
	return key, nil
}

// Prefix returns the prefix of all keys that have these scopes, segments and,
// by strategy [Hierarchical], parameters, and more behind them. Of the key
// itself it is no prefix. By other strategies parameters are an error of kind
// [ErrPart]: nothing can follow them.
func (b Builder) Prefix() (string, error) {
	if b.err != nil {
		return "", b.err
	}
	prefix := b.head()
	if len(b.params) > 0 && b.strategy != Hierarchical {
		return "", fmt.Errorf("%w: a prefix with parameters", ErrPart)
	}
	for _, p := range b.params {
		prefix += ":" + escapeParam(p.name) + "=" + escapeParam(p.value)
	}
	return b.fitting(prefix + ":")
}

func (b Builder) fitting(key string) (string, error) {
	if len(key) > b.longest {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(key), b.longest)
	}
	return key, nil
}

func (b Builder) head() string {
	var s strings.Builder
	for _, x := range b.scopes {
		s.WriteString("@" + x.kind + ":" + escape(x.id) + ":")
	}
	for i, x := range b.segments {
		if i > 0 {
			s.WriteByte(':')
		}
		s.WriteString(escape(x))
	}
	return s.String()
}

func (b Builder) sorted() []param {
	out := slices.Clone(b.params)
	slices.SortStableFunc(out, func(x, y param) int { return strings.Compare(x.name, y.name) })
	return out
}

// spell writes a part the one way in which equal values are equal.
func spell(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, bool:
		return fmt.Sprint(v), nil
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case fmt.Stringer:
		return v.String(), nil
	}
	return "", fmt.Errorf("%w: a %T; want a string, an integer, a boolean, a time or a Stringer", ErrPart, v)
}

var (
	segmentEscapes = strings.NewReplacer("%", "%25", ":", "%3A", "@", "%40", "#", "%23")
	paramEscapes   = strings.NewReplacer("%", "%25", ":", "%3A", "@", "%40", "#", "%23", "=", "%3D", "&", "%26")
)

func escape(s string) string      { return segmentEscapes.Replace(s) }
func escapeParam(s string) string { return paramEscapes.Replace(s) }

// hashOf hashes names and values with their lengths, so that none can pass for
// a part of another.
func hashOf(params []param) string {
	var b []byte
	for _, p := range params {
		for _, s := range []string{p.name, p.value} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return digest(b)
}

var spelling = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// digest is 128 bits of SHA-256: two of 2^64 inputs are expected to collide.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return spelling.EncodeToString(sum[:16])
}
