package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// Verdict says what one rule made of an event, for people.
type Verdict struct {
	Rule string
	// Mismatch is the part of the rule that did not fit: a field of its match
	// or "when". Empty: the rule matched.
	Mismatch string
	// Why tells a mismatch in words: what the event has and the rule wants.
	Why string
	// Scope is what the rule fences, in each of Domains; Source is the source
	// position that goes with it.
	Scope      events.Scope
	Domains    []string
	Soft, Warm bool
	Source     string
	Handling
	Limit Limit
	// Faults are the parts that failed.
	Faults []*EvalError
}

// Judge returns the verdicts of the rules that are about e, in the file's
// order. Together they say what [Set.Evaluate] does, rule by rule.
func (s *Set) Judge(e *domainevent.Event) []Verdict {
	var verdicts []Verdict
	for _, r := range s.candidates(e) {
		if r.match.mismatch(e) != "" {
			continue
		}
		if v := r.verdict(e); v.Mismatch == "" {
			verdicts = append(verdicts, v)
		}
	}
	return verdicts
}

// Explain returns every rule's verdict on e, in the file's order.
func (s *Set) Explain(e *domainevent.Event) []Verdict {
	verdicts := make([]Verdict, 0, len(s.rules))
	for _, r := range s.rules {
		if part := r.match.mismatch(e); part != "" {
			verdicts = append(verdicts, Verdict{Rule: r.name, Mismatch: part, Why: r.match.why(part, e)})
			continue
		}
		verdicts = append(verdicts, r.verdict(e))
	}
	return verdicts
}

// verdict is that of a rule whose match fits e.
func (r *rule) verdict(e *domainevent.Event) Verdict {
	v := Verdict{Rule: r.name}
	scope, applies, faults := r.apply(e)
	if !applies {
		v.Mismatch, v.Why = "when", r.when.text+" is false"
		return v
	}
	compact(&scope)
	source, fault := r.sourcePosition(e)
	if fault != nil && !scope.Empty() {
		faults = append(faults, fault)
	}
	v.Scope, v.Faults, v.Source = scope, faults, source
	v.Domains, v.Soft, v.Warm, v.Handling, v.Limit = r.domains, r.soft, r.warm, r.handling, r.limit
	return v
}

// why says in words how a part of the match does not fit e.
func (m *match) why(part string, e *domainevent.Event) string {
	var have string
	var want []string
	c := e.Change
	switch part {
	case "type":
		have, want = e.Type, m.types
	case "source":
		have, want = e.Source, m.sources
	case "subject":
		have, want = e.Subject, m.subjects
	case "channel":
		have, want = e.Channel, m.channels
	case "table":
		want = m.tables
		if c != nil {
			have = c.Place()
		}
	case "connector":
		want = m.connectors
		if c != nil {
			have = c.Connector
		}
	case "operation":
		wanted := m.operations
		if len(wanted) == 0 {
			wanted = rowOperations
		}
		for _, o := range wanted {
			want = append(want, string(o))
		}
		if c != nil {
			have = string(c.Operation)
		}
	}
	if c == nil && slices.Contains([]string{"table", "connector", "operation"}, part) {
		return "the event is no row change"
	}
	if have == "" {
		return fmt.Sprintf("the event has none, the rule wants %s", strings.Join(want, " or "))
	}
	return fmt.Sprintf("the event's is %s, the rule wants %s", have, strings.Join(want, " or "))
}
