package backtest

import (
	"cmp"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

const (
	maxDistinct = 200_000 // names that are told apart
	maxTop      = 10
	maxProblems = 5
	maxExamples = 10
)

// Run asks one or two sets of rules of events. It is for one goroutine.
type Run struct {
	candidate, running *side
	report             Report
}

// New returns a run of candidate, compared with running unless that is nil.
func New(candidate, running *rules.Set) *Run {
	r := &Run{candidate: newSide(candidate)}
	if running != nil {
		r.running = newSide(running)
		r.report.Differences = &Differences{}
	}
	return r
}

// Add judges a message. At is when it was stored, zero if that is not known.
func (r *Run) Add(m domainevent.Message, at time.Time, o domainevent.Options) {
	r.report.Messages++
	if !at.IsZero() {
		if r.report.From.IsZero() {
			r.report.From = at
		}
		r.report.To = at
	}
	all, err := domainevent.Decode(m, o)
	if err != nil {
		r.unreadable(m.ID, err)
	}
	for _, e := range all {
		r.report.Events++
		when := at
		if when.IsZero() {
			when = e.Time
		}
		mine := r.candidate.judge(e, when)
		if r.running != nil {
			r.compare(e, r.running.judge(e, when), mine)
		}
	}
}

// Skip counts a message that could not even be had, and why.
func (r *Run) Skip(id string, err error) {
	r.report.Messages++
	r.unreadable(id, err)
}

func (r *Run) unreadable(id string, err error) {
	r.report.Unreadable++
	if len(r.report.Problems) < maxProblems {
		r.report.Problems = append(r.report.Problems, id+": "+err.Error())
	}
}

// Report returns what came of it so far.
func (r *Run) Report() Report {
	out := r.report
	out.Candidate = r.candidate.outcome()
	if r.running != nil {
		o := r.running.outcome()
		out.Running = &o
	}
	return out
}

// side is one set of rules and its counts.
type side struct {
	set       *rules.Set
	counts    Outcome
	rules     map[string]*share
	names     map[string]int
	unmatched map[string]int
}

type share struct {
	Rule
	minute Minute // the one that is being counted
	limit  rules.Limit
	over   bool // the minute was counted as beyond the limit
}

func newSide(set *rules.Set) *side {
	s := &side{set: set, rules: map[string]*share{}, names: map[string]int{}, unmatched: map[string]int{}}
	for _, r := range set.Rules() {
		s.rules[r.Name] = &share{Rule: Rule{Name: r.Name}, limit: r.Limit}
	}
	return s
}

// judge counts what the rules make of e and returns the names that they fence,
// sorted, each with its domain and kind.
func (s *side) judge(e *domainevent.Event, at time.Time) []string {
	verdicts := s.set.Judge(e)
	if len(verdicts) == 0 {
		s.counts.Unmatched++
		count(s.unmatched, e.Type)
		return nil
	}
	s.counts.Matched++
	failed, unreached := false, false
	var names []string
	for _, v := range verdicts {
		for _, f := range v.Faults {
			failed = true
			unreached = unreached || !f.Reached
		}
		n := size(&v.Scope)
		sum := Names{}
		for _, d := range v.Domains {
			sum.add(n)
			names = appendNames(names, d, v.Soft, &v.Scope)
		}
		s.counts.Fenced.add(sum)
		s.rules[v.Rule].add(sum, n, len(v.Faults) > 0, at)
	}
	if failed {
		s.counts.Failed++
	}
	if unreached {
		s.counts.Unreached++
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, n := range names {
		if !count(s.names, n) {
			s.counts.DistinctMore = true
		}
	}
	return names
}

// add counts an event of which the rule fences sum, in each domain one.
func (s *share) add(sum, one Names, failed bool, at time.Time) {
	s.Matched++
	if failed {
		s.Failed++
	}
	s.Fenced.add(sum)
	if l := s.limit.NamesPerEvent; l > 0 && one.Sum() > l {
		s.Large++
	}
	if at.IsZero() {
		return
	}
	if minute := at.Truncate(time.Minute); !minute.Equal(s.minute.At) {
		s.minute, s.over = Minute{At: minute}, false
	}
	s.minute.Single += sum.Single()
	s.minute.Broad += sum.Broad()
	if s.minute.Single+s.minute.Broad > s.Busiest.Single+s.Busiest.Broad {
		s.Busiest = s.minute
	}
	if !s.over && (s.limit.Names > 0 && s.minute.Single > s.limit.Names || s.limit.Broad > 0 && s.minute.Broad > s.limit.Broad) {
		s.over = true
		s.Beyond++
	}
}

func (s *side) outcome() Outcome {
	o := s.counts
	for _, r := range s.set.Rules() {
		o.Rules = append(o.Rules, s.rules[r.Name].Rule)
	}
	o.Distinct = len(s.names)
	o.Top = top(s.names)
	o.UnmatchedTypes = top(s.unmatched)
	return o
}

func (r *Run) compare(e *domainevent.Event, before, after []string) {
	d := r.report.Differences
	kind := ""
	switch {
	case slices.Equal(before, after):
		d.Same++
		return
	case len(after) == 0:
		kind = "gone"
		d.Gone++
	case len(before) == 0:
		kind = "new"
		d.New++
	default:
		kind = "changed"
		d.Changed++
	}
	if len(d.Examples) < maxExamples {
		d.Examples = append(d.Examples, Example{
			Kind: kind, Event: e.Source + "#" + e.ID, Type: e.Type, Less: without(before, after), More: without(after, before),
		})
	}
}

// without returns those of a that are not in b, which is sorted; a few of them.
func without(a, b []string) []string {
	var out []string
	for _, name := range a {
		if _, found := slices.BinarySearch(b, name); !found && len(out) < maxTop {
			out = append(out, name)
		}
	}
	return out
}

// count reports whether name is told apart from the others.
func count(names map[string]int, name string) bool {
	if _, known := names[name]; !known && len(names) >= maxDistinct {
		return false
	}
	names[name]++
	return true
}

func top(names map[string]int) []Top {
	var all []Top
	for name, times := range names {
		all = append(all, Top{name, times})
	}
	slices.SortFunc(all, func(a, b Top) int { return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Name, b.Name)) })
	return all[:min(len(all), maxTop)]
}

func size(s *events.Scope) Names {
	n := Names{Keys: len(s.Keys), Tags: len(s.Tags), Prefixes: len(s.Prefixes), Globs: len(s.Globs)}
	if s.All {
		n.All = 1
	}
	return n
}

// appendNames adds what s covers in a domain, in words.
func appendNames(dst []string, domain string, soft bool, s *events.Scope) []string {
	if soft {
		domain += " softly"
	}
	for _, part := range []struct {
		kind  string
		names []string
	}{{"key", s.Keys}, {"tag", s.Tags}, {"prefix", s.Prefixes}, {"glob", s.Globs}} {
		for _, n := range part.names {
			dst = append(dst, domain+" "+part.kind+" "+n)
		}
	}
	if s.All {
		dst = append(dst, domain+" all")
	}
	return dst
}
