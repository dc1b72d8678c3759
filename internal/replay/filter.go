package replay

import (
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Filter says whose records are wanted: those that say something about one of
// the keys, about a copy with one of the tags, or about a key under one of the
// prefixes. The zero Filter wants all.
type Filter struct {
	Keys, Tags, Prefixes []string
}

// Empty reports whether the filter wants everything.
func (f Filter) Empty() bool { return len(f.Keys) == 0 && len(f.Tags) == 0 && len(f.Prefixes) == 0 }

// Validate reports the first name that breaks a rule.
func (f Filter) Validate() error {
	if f.Empty() {
		return nil
	}
	s := events.Scope{Keys: f.Keys, Tags: f.Tags, Prefixes: f.Prefixes}
	return s.Validate()
}

// mostGlobbed bounds the keys that a fence by glob is compared with, one by one;
// with more of them it counts as one that concerns them.
const mostGlobbed = 4096

// Matcher applies a filter to one partition's records. It is told them in order
// and remembers what they say: tags of the wanted keys, keys with the wanted
// tags, open brackets. So a fence of a tag is wanted if a wanted copy carries
// it, as far as the records tell; tags of copies that were loaded stand nowhere
// in the log. It is not safe for concurrent use.
type Matcher struct {
	all      bool
	prefixes []string
	wanted   map[string]bool // tags of which every put is wanted
	keys     map[string]bool
	tags     map[string]bool // that wanted copies carry
	brackets map[events.BracketID]bool
}

// NewMatcher returns a matcher that has seen nothing.
func NewMatcher(f Filter) *Matcher {
	m := &Matcher{
		all: f.Empty(), prefixes: f.Prefixes, wanted: map[string]bool{},
		keys: map[string]bool{}, tags: map[string]bool{}, brackets: map[events.BracketID]bool{},
	}
	for _, k := range f.Keys {
		m.keys[k] = true
	}
	for _, t := range f.Tags {
		m.wanted[t], m.tags[t] = true, true
	}
	return m
}

// Matches reports whether the record is wanted. err is why it could not be
// decoded: it then fences everything and is.
func (m *Matcher) Matches(r events.Record, err error) bool {
	if m.all || err != nil {
		return true
	}
	wanted := false
	for _, c := range r.Changes {
		wanted = m.change(c) || wanted
	}
	return wanted
}

// Wants reports whether one change of a record is wanted by itself, for those who
// take records apart; they don't ask Matches too.
func (m *Matcher) Wants(c events.Change) bool { return m.all || m.change(c) }

func (m *Matcher) change(c events.Change) bool {
	switch c := c.(type) {
	case *events.Put:
		return m.put(c)
	case *events.Invalidate:
		return m.concerns(&c.Scope)
	case *events.Intent:
		if m.concerns(&c.Scope) {
			m.brackets[c.Bracket] = true
		}
		return m.brackets[c.Bracket]
	case *events.End:
		known := m.brackets[c.Bracket]
		delete(m.brackets, c.Bracket)
		// Without a scope it fences everything for those who don't know the
		// bracket, as the nodes of a trimmed log.
		return known || c.Scope.Empty() || m.concerns(&c.Scope)
	case *events.Pulse:
		return false
	}
	return true
}

func (m *Matcher) put(c *events.Put) bool {
	wanted := m.wantsKey(c.Key)
	e, err := tiers.Parse(c.Entry)
	if err != nil {
		return wanted
	}
	for t := range e.Tags() {
		if m.wanted[t] {
			wanted = true
			m.keys[strings.Clone(c.Key)] = true
		}
	}
	if !wanted {
		return false
	}
	for t := range e.Tags() {
		if !m.tags[t] {
			m.tags[strings.Clone(t)] = true
		}
	}
	return true
}

func (m *Matcher) wantsKey(key string) bool {
	return m.keys[key] || slices.ContainsFunc(m.prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

// concerns reports whether a fence of s may kill a copy that is wanted.
func (m *Matcher) concerns(s *events.Scope) bool {
	if s.All || slices.ContainsFunc(s.Keys, m.wantsKey) || slices.ContainsFunc(s.Tags, func(t string) bool { return m.tags[t] }) {
		return true
	}
	for _, p := range s.Prefixes {
		if m.overlaps(p) || m.anyKey(func(k string) bool { return strings.HasPrefix(k, p) }) {
			return true
		}
	}
	for _, g := range s.Globs {
		if m.overlaps(literal(g)) || m.anyKey(func(k string) bool { return events.MatchGlob(k, g) }) {
			return true
		}
	}
	return false
}

// overlaps reports whether a key that begins with start may lie under a wanted
// prefix.
func (m *Matcher) overlaps(start string) bool {
	return slices.ContainsFunc(m.prefixes, func(p string) bool {
		return strings.HasPrefix(p, start) || strings.HasPrefix(start, p)
	})
}

func (m *Matcher) anyKey(f func(string) bool) bool {
	if len(m.keys) > mostGlobbed {
		return true
	}
	for k := range m.keys {
		if f(k) {
			return true
		}
	}
	return false
}

// literal is what a key that matches the glob begins with for certain.
func literal(glob string) string {
	if i := strings.IndexAny(glob, `*?\`); i >= 0 {
		return glob[:i]
	}
	return glob
}
