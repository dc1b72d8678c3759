package invalidator

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// Stats counts what happened since the start. Every number only grows.
type Stats struct {
	// Received counts deliveries, Redelivered those among them that were
	// delivered before.
	Received, Redelivered uint64
	// Acknowledged counts messages that are done, Returned those that went
	// back to be delivered again.
	Acknowledged, Returned uint64
	// Events counts events read from messages, Unmatched those that no rule
	// was about.
	Events, Unmatched uint64
	// Fences counts fences that landed, Failures attempts that did not.
	Fences, Failures uint64
	Retries          uint64
	// Undecodable counts messages that hold something unreadable, DeadLetters
	// messages put aside, Unreached those among them that may have left copies
	// alive, since what they meant is not known.
	Undecodable, DeadLetters, Unreached uint64
	WarmFailures                        uint64
	// Duplicates counts events that were not fenced again, Parked copies of
	// events kept for the release of a rule, Coarsened events for which a
	// rule's reach was fenced in place of what is beyond its limit.
	Duplicates, Parked, Coarsened uint64
	// Settled counts second fences' rounds, Windows records of coalesced fences.
	Settled, Windows uint64
	// Panics counts defects of this package; it should be 0.
	Panics uint64
	// Rules holds the running rules' counts by name.
	Rules map[string]RuleStats
}

// RuleStats counts by rule.
type RuleStats struct {
	// Matched counts events that the rule was about, Failed those among them
	// on which a part of it failed, Missed all others since it came into force.
	Matched, Failed, Missed uint64
	// Lag is how long the events that the rule was about took from the stream
	// to their fences, in all, and LastLag how long the last one did.
	Lag, LastLag time.Duration
}

type counters struct {
	received, redelivered, acknowledged, returned, events, unmatched, fences, failures,
	retries, undecodable, deadLetters, unreached, warmFailures, panics,
	duplicates, parked, coarsened, settled, windows atomic.Uint64
}

// Stats returns the counts as they are now. It is safe for concurrent use.
func (i *Invalidator) Stats() Stats {
	c := &i.stats
	s := Stats{
		Received: c.received.Load(), Redelivered: c.redelivered.Load(),
		Acknowledged: c.acknowledged.Load(), Returned: c.returned.Load(),
		Events: c.events.Load(), Unmatched: c.unmatched.Load(),
		Fences: c.fences.Load(), Failures: c.failures.Load(), Retries: c.retries.Load(),
		Undecodable: c.undecodable.Load(), DeadLetters: c.deadLetters.Load(), Unreached: c.unreached.Load(),
		WarmFailures: c.warmFailures.Load(), Panics: c.panics.Load(),
		Duplicates: c.duplicates.Load(), Parked: c.parked.Load(), Coarsened: c.coarsened.Load(),
		Settled: c.settled.Load(), Windows: c.windows.Load(),
		Rules: map[string]RuleStats{},
	}
	for name, r := range i.rules.Load().counts {
		s.Rules[name] = r.stats(s.Events)
	}
	return s
}

// activeRules is a set with its counts.
type activeRules struct {
	set     *rules.Set
	counts  map[string]*ruleCounters // read-only; the counters are not
	limited map[string]rules.Rule    // those with a limit, by name; read-only
	recent  *recent
}

type ruleCounters struct {
	since        uint64 // how many events there had been when the rule came into force
	matched      atomic.Uint64
	failed       atomic.Uint64
	lag, lastLag atomic.Int64 // nanoseconds
}

func (c *ruleCounters) stats(events uint64) RuleStats {
	s := RuleStats{
		Matched: c.matched.Load(), Failed: c.failed.Load(),
		Lag: time.Duration(c.lag.Load()), LastLag: time.Duration(c.lastLag.Load()),
	}
	if others := c.since + s.Matched; events > others { // the counts are not read at one instant
		s.Missed = events - others
	}
	return s
}

// activate gives a set its counters; rules that were there before keep theirs.
func activate(set *rules.Set, before *activeRules, duplicates int, events uint64) *activeRules {
	a := &activeRules{set: set, counts: make(map[string]*ruleCounters, set.Len()), limited: map[string]rules.Rule{}, recent: newRecent(duplicates)}
	for _, r := range set.Rules() {
		if r.Limit.Limited() {
			a.limited[r.Name] = r
		}
	}
	for _, name := range set.Names() {
		if before != nil {
			if c, ok := before.counts[name]; ok {
				a.counts[name] = c
				continue
			}
		}
		a.counts[name] = &ruleCounters{since: events}
	}
	return a
}

// count counts an event whose fences have landed, lag after it was stored.
func (a *activeRules) count(c *counters, v verdict, lag time.Duration) {
	c.events.Add(1)
	if len(v.rules) == 0 && v.err == nil {
		c.unmatched.Add(1)
	}
	for _, name := range v.rules {
		r := a.counts[name]
		r.matched.Add(1)
		r.lag.Add(int64(lag))
		r.lastLag.Store(int64(lag))
	}
	if v.err == nil {
		return
	}
	failed := map[string]bool{}
	for _, fault := range evalErrors(v.err) {
		failed[fault.Rule] = true
	}
	for name := range failed {
		a.counts[name].failed.Add(1)
	}
}

// evalErrors returns all of the rules' faults within err.
func evalErrors(err error) []*rules.EvalError {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*rules.EvalError
		for _, e := range joined.Unwrap() {
			all = append(all, evalErrors(e)...)
		}
		return all
	}
	var fault *rules.EvalError
	if errors.As(err, &fault) {
		return []*rules.EvalError{fault}
	}
	return nil
}
