package rules

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Handling is how a rule's fences are to be landed. The zero Handling lands
// them at once and asks for no more than that they are in the log.
type Handling struct {
	// Settle is how long after the fence a second one follows, for what
	// loaders read from replicas that lag; 0: there is none.
	Settle time.Duration
	// Coalesce is how long fences may be gathered before they land as one
	// record; 0: not at all.
	Coalesce time.Duration
	// Everywhere asks that the event count as done only once every member of
	// the domain has applied its fences.
	Everywhere bool
}

// The bounds of what a rule may ask for. An event is neither acknowledged nor
// forgotten while it waits, so that longer waits would hold up all others.
const (
	MinSettle   = 10 * time.Millisecond
	MaxSettle   = 10 * time.Minute
	MinCoalesce = time.Millisecond
	MaxCoalesce = 10 * time.Second
)

// Limit bounds what a rule may clear. In each of its fields 0 is no limit.
type Limit struct {
	// Names is how many keys and tags the rule may fence in a minute, Broad
	// how many prefixes, globs and whole domains.
	Names, Broad int
	// NamesPerEvent is how many names of any kind one event may yield. Beyond
	// 8,192, the rule's reach is fenced instead, limit or not.
	NamesPerEvent int
	// Coarse has the rule's reach fenced for what goes beyond the limit. If
	// false, such events are parked.
	Coarse bool
}

// maxLimit bounds the numbers of a limit: more is none.
const maxLimit = 1_000_000_000

// Limited reports whether there is any limit.
func (l Limit) Limited() bool { return l.Names > 0 || l.Broad > 0 || l.NamesPerEvent > 0 }

// Rule is what a set tells of one of its rules.
type Rule struct {
	Name    string
	Domains []string
	Handling
	Limit Limit
	// Reach covers everything that the rule can ever fence, if Reached is
	// true; otherwise what is known of it.
	Reach   events.Scope
	Reached bool
}

// Rule returns the rule of that name and whether there is one.
func (s *Set) Rule(name string) (Rule, bool) {
	for _, r := range s.rules {
		if r.name == name {
			return r.describe(), true
		}
	}
	return Rule{}, false
}

// Rules returns all rules in the file's order.
func (s *Set) Rules() []Rule {
	all := make([]Rule, len(s.rules))
	for i, r := range s.rules {
		all[i] = r.describe()
	}
	return all
}

func (r *rule) describe() Rule {
	d := Rule{Name: r.name, Domains: r.domains, Handling: r.handling, Limit: r.limit}
	d.Reach, d.Reached = r.wholeReach()
	return d
}

// wholeReach covers whatever the rule may say of any event, and reports
// whether it does.
func (r *rule) wholeReach() (s events.Scope, known bool) {
	if r.reach != nil {
		merge(&s, r.reach)
		return s, true
	}
	s.All, known = r.all, true
	for i := range r.outputs {
		o := &r.outputs[i]
		if o.template == nil || !o.template.reach(&s, nil) {
			known = false
		}
	}
	compact(&s)
	return s, known || s.All
}
