package events

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Separator ends a segment of a key. `user:123:profile` lies under the
// prefixes `user:` and `user:123:`.
const Separator = ':'

// Limits on what a record may hold. They are part of the wire form: a record
// beyond them is not decoded, so they can be raised but not lowered.
const (
	MaxKey       = 4096         // bytes in a key
	MaxTag       = 512          // bytes in a tag
	MaxTags      = 64           // tags of one entry
	MaxGlob      = 4096         // bytes in a glob
	MaxNames     = 65_536       // keys, tags, prefixes and globs of one scope, each
	MaxChanges   = 16_384       // changes in one record
	MaxInline    = 512 << 10    // bytes of an entry that rides inline
	MaxRecord    = 1<<20 - 1024 // bytes of an encoded record: NATS's default max_payload, less room for headers
	MaxSource    = 1024         // bytes of a source position
	MaxCause     = 1024         // bytes of a cause's event identity or trace
	MaxNodeID    = 128          // bytes
	MaxDecider   = 128          // bytes of a bracket's decider
	MaxAddresses = 16           // of one node
	MaxAddress   = 512          // bytes
	MaxWhy       = 1024         // bytes of an epoch's reason
)

// ValidateKey checks a key: 1 to [MaxKey] bytes of any kind.
func ValidateKey(key string) error { return validateName("key", key, MaxKey) }

// ValidateTag checks a tag: 1 to [MaxTag] bytes of any kind.
func ValidateTag(tag string) error { return validateName("tag", tag, MaxTag) }

// ValidatePrefix checks a prefix: a key's leading segments, with the separator
// at the end.
func ValidatePrefix(prefix string) error {
	if err := validateName("prefix", prefix, MaxKey); err != nil {
		return err
	}
	if prefix[len(prefix)-1] != Separator {
		return fmt.Errorf("%w prefix %q: a prefix ends with %q, as in %q; to match within a segment use the glob %q",
			ErrInvalid, clip(prefix), Separator, clip(prefix)+string(Separator), clip(EscapeGlob(prefix))+"*")
	}
	return nil
}

// ValidateGlob checks a glob: UTF-8, 1 to [MaxGlob] bytes, no dangling escape.
func ValidateGlob(glob string) error {
	if err := validateName("glob", glob, MaxGlob); err != nil {
		return err
	}
	if !utf8.ValidString(glob) {
		return fmt.Errorf("%w glob %q: not UTF-8", ErrInvalid, clip(glob))
	}
	escapes := 0
	for i := len(glob) - 1; i >= 0 && glob[i] == '\\'; i-- {
		escapes++
	}
	if escapes%2 == 1 {
		return fmt.Errorf("%w glob %q: ends with a lone escape", ErrInvalid, clip(glob))
	}
	return nil
}

func validateName(what, name string, most int) error {
	switch {
	case name == "":
		return fmt.Errorf("%w %s: empty", ErrInvalid, what)
	case len(name) > most:
		return fmt.Errorf("%w %s %q: %d bytes, at most %d", ErrInvalid, what, clip(name), len(name), most)
	}
	return nil
}

// EscapeGlob returns the glob that matches exactly name.
func EscapeGlob(name string) string {
	if !strings.ContainsAny(name, `*?\`) {
		return name
	}
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `\`, `\\`).Replace(name)
}

// Validate reports the first name of the scope that breaks a rule, and a scope
// that covers nothing.
func (s *Scope) Validate() error {
	if s.Empty() {
		return fmt.Errorf("%w scope: names no key, tag, prefix or glob; to clear the whole domain say so with All", ErrInvalid)
	}
	for _, part := range []struct {
		what  string
		names []string
		check func(string) error
	}{
		{"keys", s.Keys, ValidateKey},
		{"tags", s.Tags, ValidateTag},
		{"prefixes", s.Prefixes, ValidatePrefix},
		{"globs", s.Globs, ValidateGlob},
	} {
		if len(part.names) > MaxNames {
			return fmt.Errorf("%w scope: %d %s, at most %d in one record", ErrInvalid, len(part.names), part.what, MaxNames)
		}
		for _, n := range part.names {
			if err := part.check(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Covers reports whether the scope covers key by name, prefix, glob or All.
// Tags are a matter of the copy and not considered.
func (s *Scope) Covers(key string) bool {
	if s.All {
		return true
	}
	for _, k := range s.Keys {
		if k == key {
			return true
		}
	}
	for _, p := range s.Prefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	for _, g := range s.Globs {
		if MatchGlob(key, g) {
			return true
		}
	}
	return false
}
