package coherence

import (
	"iter"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// sourced is a fence that told where in the origin its change stands.
type sourced struct {
	source string // "" if it may have told, in a record that could not be read
	scope  events.Scope
}

// sources remembers how far an origin's replica must have come for a load not
// to miss a change whose fence was applied here (P3): a load begun behind the
// fence is born above it, so that nothing else would ever kill what a lagging
// replica answers.
//
// The last fences are kept one by one, so that a load waits for changes of its
// own key only. All others count for every key; a replica is hardly ever
// behind them.
type sources struct {
	recent []sourced // oldest first
	floor  string    // the latest of all that are not in recent
}

const (
	// maxSourced bounds how many fences are kept, and maxSourcedBytes the
	// names of each: they are part of every checkpoint.
	maxSourced      = 32
	maxSourcedBytes = 1024
)

func (s *sources) note(scope *events.Scope, source string) {
	if source == "" || mutant.On(mutant.SourceDropped) {
		return
	}
	if bytesOf(scope) > maxSourcedBytes {
		s.floor = later(s.floor, source)
		return
	}
	s.add(sourced{source: strings.Clone(source), scope: cloned(scope)})
}

// unread notes a record that could not be read. Where in the origin it stands,
// only the primary knows.
func (s *sources) unread() {
	if !mutant.On(mutant.UnreadSourceIgnored) {
		s.add(sourced{scope: events.Scope{All: true}})
	}
}

// dropUnread forgets what unread has noted.
func (s *sources) dropUnread() {
	s.recent = slices.DeleteFunc(s.recent, func(f sourced) bool { return f.source == "" })
}

func (s *sources) add(f sourced) {
	s.recent = append(s.recent, f)
	if over := len(s.recent) - maxSourced; over > 0 {
		if !mutant.On(mutant.SourceFloorForgotten) {
			s.floor = later(s.floor, s.recent[0].source)
			if s.recent[0].source == "" { // what came next will do
				s.floor = later(s.floor, s.recent[1].source)
			}
		}
		s.recent = slices.Delete(s.recent, 0, over)
	}
}

func bytesOf(s *events.Scope) (n int) {
	for _, names := range [][]string{s.Keys, s.Tags, s.Prefixes, s.Globs} {
		for _, name := range names {
			n += len(name)
		}
	}
	return n
}

// cloned returns s without a share in the record's bytes, which would live as
// long.
func cloned(s *events.Scope) events.Scope {
	own := func(names []string) []string {
		if len(names) == 0 {
			return nil
		}
		out := make([]string, len(names))
		for i, n := range names {
			out[i] = strings.Clone(n)
		}
		return out
	}
	return events.Scope{Keys: own(s.Keys), Tags: own(s.Tags), Prefixes: own(s.Prefixes), Globs: own(s.Globs), All: s.All}
}

// RequiredSource returns the origin's position that a load of key, or of a copy
// with tags of that key, must not read behind; "" if there is none. It is not
// known where a record that could not be read is among the last that told one.
// tags may be nil. Positions that can't be ordered count in the order of the log.
func (w *World) RequiredSource(key string, tags iter.Seq[string]) (need string, known bool) {
	need, known = w.sources.floor, true
	for i := range w.sources.recent {
		if f := &w.sources.recent[i]; covers(&f.scope, key, tags) {
			need = later(need, f.source)
			known = known && f.source != ""
		}
	}
	return need, known
}

// covers reports whether s covers key, or a copy with tags of that key.
func covers(s *events.Scope, key string, tags iter.Seq[string]) bool {
	if s.Covers(key) {
		return true
	}
	if tags == nil || len(s.Tags) == 0 {
		return false
	}
	for t := range tags {
		if slices.Contains(s.Tags, t) {
			return true
		}
	}
	return false
}

// later returns the later of two positions of an origin, of which b was heard
// later: b unless a is known to be greater.
func later(a, b string) string {
	if CompareSources(a, b) > 0 {
		return a
	}
	return b
}

// CompareSources orders two positions of one origin: negative if a lies before
// b, positive if behind, 0 if they are equal or if it can't be told. It knows
// PostgreSQL's "16/B374D848" and what differs in numbers only: "42",
// "binlog.000007:154", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-57". The empty
// position lies before all others.
func CompareSources(a, b string) int {
	if a == "" || b == "" {
		return len(a) - len(b)
	}
	if isLSN(a) && isLSN(b) {
		ah, al, _ := strings.Cut(a, "/")
		bh, bl, _ := strings.Cut(b, "/")
		if c := compareNumbers(strings.ToUpper(ah), strings.ToUpper(bh)); c != 0 {
			return c
		}
		return compareNumbers(strings.ToUpper(al), strings.ToUpper(bl))
	}
	if strings.Contains(a, ",") || strings.Contains(b, ",") {
		return 0 // a set of positions; sets are not ordered
	}
	verdict := 0
	for a != "" && b != "" {
		an, bn := run(a), run(b)
		switch {
		case isDigit(a[0]) && isDigit(b[0]):
			if verdict == 0 {
				verdict = compareNumbers(a[:an], b[:bn])
			}
		case a[:an] != b[:bn]:
			return 0
		}
		a, b = a[an:], b[bn:]
	}
	if a != b {
		return 0
	}
	return verdict
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// run returns how many bytes s begins with that are all digits, or all none.
func run(s string) int {
	n := 1
	for n < len(s) && isDigit(s[n]) == isDigit(s[0]) {
		n++
	}
	return n
}

// compareNumbers compares numbers of any length in one base up to 16, in upper
// case.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// isLSN reports whether s is written as PostgreSQL writes a place in its log.
func isLSN(s string) bool {
	high, low, ok := strings.Cut(s, "/")
	return ok && isHex(high) && isHex(low)
}

func isHex(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if !isDigit(s[i]) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != "" && len(s) <= 8
}
