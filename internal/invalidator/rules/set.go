package rules

import (
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// Set is a compiled rule file. It is immutable and safe for concurrent use.
type Set struct {
	rules []*rule
	// byType and byTable hold, in the file's order, the rules that an event of
	// that very type or table can concern; anywhere holds those that must
	// always be asked. A rule is in one of the three.
	byType, byTable map[string][]int
	anywhere        []int
}

// Len returns the number of rules.
func (s *Set) Len() int { return len(s.rules) }

// Names returns the rules' names in the file's order.
func (s *Set) Names() []string {
	names := make([]string, len(s.rules))
	for i, r := range s.rules {
		names[i] = r.name
	}
	return names
}

// Domains returns all domains that a rule of the set may fence, sorted.
func (s *Set) Domains() []string {
	var all []string
	for _, r := range s.rules {
		all = append(all, r.domains...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func newSet(rules []*rule) *Set {
	s := &Set{rules: rules, byType: map[string][]int{}, byTable: map[string][]int{}}
	for i, r := range rules {
		switch {
		case allLiteral(r.match.types):
			for _, t := range r.match.types {
				s.byType[t] = append(s.byType[t], i)
			}
		case allLiteral(r.match.tables) && !qualified(r.match.tables):
			for _, t := range r.match.tables {
				s.byTable[t] = append(s.byTable[t], i)
			}
		default:
			s.anywhere = append(s.anywhere, i)
		}
	}
	return s
}

func allLiteral(patterns []string) bool {
	return len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p string) bool { return strings.ContainsAny(p, `*?\`) })
}

func qualified(tables []string) bool {
	return slices.ContainsFunc(tables, func(t string) bool { return strings.Contains(t, ".") })
}

// candidates returns the rules that may concern e, in the file's order.
func (s *Set) candidates(e *domainevent.Event) []*rule {
	found := make([]int, 0, 8)
	found = append(found, s.byType[e.Type]...)
	if e.Change != nil && e.Change.Table != "" {
		found = append(found, s.byTable[e.Change.Table]...)
	}
	found = append(found, s.anywhere...)
	slices.Sort(found)
	found = slices.Compact(found) // a rule may name one type twice
	rules := make([]*rule, len(found))
	for i, n := range found {
		rules[i] = s.rules[n]
	}
	return rules
}
