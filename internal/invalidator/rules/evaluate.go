package rules

import (
	"errors"
	"slices"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

const (
	// maxNames is how many names one rule may yield from one event; beyond it
	// the rule's reach is fenced, which is one name.
	maxNames = 8192
	// maxBytes bounds the names of one fence: a record holds 1 MiB.
	maxBytes = 256 << 10
)

// Fence is what an event means for one domain.
type Fence struct {
	Domain     string
	Invalidate *events.Invalidate
	// Warm asks for hot victims to be loaded again.
	Warm bool
	Handling
	// Rule names the rule whose fence it is, alone, where that rule has a
	// limit; empty where rules without one share the fence.
	Rule string
}

// Outcome is what a set of rules says of an event.
type Outcome struct {
	// Fences may hold several for one domain: hard and soft, warm and not, of
	// different handling, and one of each rule that has a limit.
	Fences []Fence
	// Rules are the names of the rules that matched, in the file's order.
	Rules []string
}

// Evaluate returns what e means. An error, one *[EvalError] or several joined,
// is about the parts of rules that failed; the outcome is to be applied all
// the same, since it holds what the rest of the rules say and fences the reach
// of those parts as far as it is known.
//
// Causes and source positions of the fences are those of e.
func (s *Set) Evaluate(e *domainevent.Event) (Outcome, error) {
	var out Outcome
	var faults []error
	for _, r := range s.candidates(e) {
		if r.match.mismatch(e) != "" {
			continue
		}
		scope, applies, errs := r.apply(e)
		for _, err := range errs {
			faults = append(faults, err)
		}
		if !applies {
			continue
		}
		out.Rules = append(out.Rules, r.name)
		if scope.Empty() {
			continue
		}
		position, fault := r.sourcePosition(e)
		if fault != nil {
			faults = append(faults, fault)
		}
		for _, d := range r.domains {
			out.add(d, r, scope, e, position)
		}
	}
	for i := range out.Fences {
		compact(&out.Fences[i].Invalidate.Scope)
	}
	return out, errors.Join(faults...)
}

// apply returns what the rule, which is about e, covers. A condition that
// failed counts as one that holds: too much may die, never too little.
func (r *rule) apply(e *domainevent.Event) (scope events.Scope, applies bool, faults []*EvalError) {
	if r.when != nil {
		holds, err := r.when.holds(e)
		if err != nil {
			err.Rule, err.Part, err.Reached = r.name, "when", true
			faults = append(faults, err)
		} else if !holds {
			return scope, false, nil
		}
	}
	scope.All = r.all
	names := [kinds][]string{}
	for i := range r.outputs {
		o := &r.outputs[i]
		rendered, err := o.render(names[o.kind], e)
		if err == nil && len(rendered) == len(names[o.kind]) && isTruncate(e) && o.template != nil {
			// An optional field of a row: it is not this row that lacks it.
			err = &EvalError{Kind: ErrMissingField, Field: o.template.text}
		}
		if err == nil {
			names[o.kind] = rendered
			continue
		}
		err.Rule, err.Part = r.name, o.part
		err.Reached = r.cover(&scope, o, e)
		if err.Reached && (truncated(e, err) || errors.Is(err, ErrTooMany)) {
			continue // the reach is the answer, not a makeshift
		}
		faults = append(faults, err)
	}
	if tooLarge(&names) {
		faults = append(faults, r.coarsen(&scope, e)...)
	} else {
		merge(&scope, &events.Scope{Keys: names[keys], Tags: names[tags], Prefixes: names[prefixes], Globs: names[globs]})
	}
	return scope, true, faults
}

func (o *output) render(dst []string, e *domainevent.Event) ([]string, *EvalError) {
	if o.template != nil {
		return o.template.render(dst, e, maxNames)
	}
	return o.expression.names(dst, e, o.kind, maxNames)
}

// truncated reports whether a part failed because a truncated table has no
// row to name: what a rule says of rows it then says of all it reaches.
func truncated(e *domainevent.Event, err *EvalError) bool {
	return isTruncate(e) && errors.Is(err, ErrMissingField)
}

func isTruncate(e *domainevent.Event) bool {
	return e.Change != nil && e.Change.Operation == domainevent.OperationTruncate
}

// cover adds what o could have meant, as far as it is known.
func (r *rule) cover(s *events.Scope, o *output, e *domainevent.Event) bool {
	switch {
	case r.reach != nil:
		merge(s, r.reach)
		return true
	case r.all:
		return true
	case o.template != nil:
		return o.template.reach(s, e)
	}
	return false
}

// coarsen adds the reach of all outputs.
func (r *rule) coarsen(s *events.Scope, e *domainevent.Event) (faults []*EvalError) {
	for i := range r.outputs {
		if o := &r.outputs[i]; !r.cover(s, o, e) {
			faults = append(faults, &EvalError{
				Kind: ErrTooMany, Rule: r.name, Part: o.part,
				Detail: "more names than one fence holds, and the rule declares no reach",
			})
		}
	}
	return faults
}

func tooLarge(names *[kinds][]string) bool {
	count, bytes := 0, 0
	for _, ns := range names {
		count += len(ns)
		for _, n := range ns {
			bytes += len(n)
		}
	}
	return count > maxNames || bytes > maxBytes
}

func size(s *events.Scope) (count, bytes int) {
	for _, ns := range [][]string{s.Keys, s.Tags, s.Prefixes, s.Globs} {
		count += len(ns)
		for _, n := range ns {
			bytes += len(n)
		}
	}
	return count, bytes
}

// add merges a rule's scope into the domain's fence of the same kind, or
// begins another where one is full.
func (out *Outcome) add(domain string, r *rule, scope events.Scope, e *domainevent.Event, position string) {
	alone := ""
	if r.limit.Limited() {
		alone = r.name
	}
	count, bytes := size(&scope)
	for i := range out.Fences {
		f := &out.Fences[i]
		if f.Domain != domain || f.Invalidate.Soft != r.soft || f.Warm != r.warm ||
			f.Handling != r.handling || f.Rule != alone || f.Invalidate.Source != position {
			continue
		}
		if c, b := size(&f.Invalidate.Scope); c+count > maxNames || b+bytes > maxBytes {
			continue
		}
		merge(&f.Invalidate.Scope, &scope)
		return
	}
	inv := &events.Invalidate{Soft: r.soft, Cause: cause(e), Source: position}
	merge(&inv.Scope, &scope)
	out.Fences = append(out.Fences, Fence{Domain: domain, Invalidate: inv, Warm: r.warm, Handling: r.handling, Rule: alone})
}

func merge(dst, src *events.Scope) {
	dst.Keys = append(dst.Keys, src.Keys...)
	dst.Tags = append(dst.Tags, src.Tags...)
	dst.Prefixes = append(dst.Prefixes, src.Prefixes...)
	dst.Globs = append(dst.Globs, src.Globs...)
	dst.All = dst.All || src.All
}

func compact(s *events.Scope) {
	for _, ns := range []*[]string{&s.Keys, &s.Tags, &s.Prefixes, &s.Globs} {
		if len(*ns) > 1 {
			slices.Sort(*ns)
			*ns = slices.Compact(*ns)
		}
	}
}

// cause names e in a fence: its source and id, cut to what a record holds.
func cause(e *domainevent.Event) events.Cause {
	c := events.Cause{Event: e.Source + "#" + e.ID, Trace: events.JoinTrace(e.Trace(), e.TraceState())}
	if len(c.Event) > events.MaxCause {
		c.Event = c.Event[:events.MaxCause]
	}
	return c
}

// sourcePosition is e's position in the source's log, by the rule's template
// where it has one. Without a position the fence lands all the same: what it
// is for, a loader's choice of replica, is then the loader's guess.
func (r *rule) sourcePosition(e *domainevent.Event) (string, *EvalError) {
	if r.position == nil {
		return changePosition(e), nil
	}
	names, err := r.position.render(nil, e, 1)
	if err != nil {
		err.Rule, err.Part, err.Reached = r.name, position.String(), true
		return "", err
	}
	if len(names) == 0 { // an optional field is absent
		return "", nil
	}
	return names[0], nil
}

// changePosition is that of e's change; one that a record can't hold is left
// out, since half of one is another.
func changePosition(e *domainevent.Event) string {
	if e.Change == nil || len(e.Change.Position) > events.MaxSource {
		return ""
	}
	return e.Change.Position
}
