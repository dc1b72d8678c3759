package rules

import (
	"slices"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// rule is one compiled rule.
type rule struct {
	name    string
	match   match
	when    *expression // nil: always
	outputs []output
	// reach is what the rule's author declared; nil: derived from templates.
	reach   *events.Scope
	all     bool
	soft    bool
	warm    bool
	domains []string

	handling Handling
	limit    Limit
	// position renders the source's position; nil: that of the event's change.
	position *template
}

// output is one template or CEL list of a rule; exactly one of the two is set.
type output struct {
	part       string // as in "keys[0]" or "tags_cel"
	kind       kind
	template   *template
	expression *expression
}

// match says which events a rule is about. An empty list matches any event.
type match struct {
	types, sources, subjects, channels, tables, connectors []string
	operations                                             []domainevent.Operation
}

// rowOperations are what a rule that names no operation is about: everything
// that happens to rows, and events that are no changes.
var rowOperations = []domainevent.Operation{
	domainevent.OperationCreate, domainevent.OperationUpdate, domainevent.OperationDelete,
	domainevent.OperationRead, domainevent.OperationTruncate,
}

// mismatch returns why the rule is not about e, and "" if it is.
func (m *match) mismatch(e *domainevent.Event) string {
	switch {
	case !anyMatches(m.types, e.Type):
		return "type"
	case !anyMatches(m.sources, e.Source):
		return "source"
	case !anyMatches(m.subjects, e.Subject):
		return "subject"
	case !anyMatches(m.channels, e.Channel):
		return "channel"
	}
	c := e.Change
	if c == nil {
		switch {
		case len(m.tables) > 0:
			return "table"
		case len(m.connectors) > 0:
			return "connector"
		case len(m.operations) > 0:
			return "operation"
		}
		return ""
	}
	operations := m.operations
	if len(operations) == 0 {
		operations = rowOperations
	}
	switch {
	case !matchesTable(m.tables, c):
		return "table"
	case !anyMatches(m.connectors, c.Connector):
		return "connector"
	case !slices.Contains(operations, c.Operation):
		return "operation"
	}
	return ""
}

func anyMatches(patterns []string, s string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range patterns {
		if p == s || events.MatchGlob(s, p) {
			return true
		}
	}
	return false
}

// matchesTable tries the table's name bare and with each qualifier before it.
func matchesTable(patterns []string, c *domainevent.Change) bool {
	if len(patterns) == 0 {
		return true
	}
	if c.Table == "" {
		return false
	}
	if anyMatches(patterns, c.Table) {
		return true
	}
	qualified := c.Table
	for _, by := range []string{c.Schema, c.Database} {
		if by == "" {
			continue
		}
		if qualified = by + "." + qualified; anyMatches(patterns, qualified) {
			return true
		}
	}
	return false
}
