package main

import (
	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/invalidator"
)

func samples(inv *invalidator.Invalidator) ops.Samples {
	return func() []ops.Sample {
		s := inv.Stats()
		var all []ops.Sample
		add := func(name, help string, v uint64) {
			all = append(all, ops.Sample{Name: "tercet_invalidator_" + name, Help: help, Value: float64(v)})
		}
		add("deliveries_total", "Messages received, redelivered ones included.", s.Received)
		add("redeliveries_total", "Messages received again.", s.Redelivered)
		add("acknowledged_total", "Messages that are done.", s.Acknowledged)
		add("returned_total", "Messages that went back to be delivered again.", s.Returned)
		add("events_total", "Domain events read.", s.Events)
		add("unmatched_events_total", "Domain events that no rule was about.", s.Unmatched)
		add("fences_total", "Fences that landed in a log.", s.Fences)
		add("fence_failures_total", "Attempts to fence that failed.", s.Failures)
		add("retries_total", "Attempts after the first.", s.Retries)
		add("undecodable_messages_total", "Messages that hold something unreadable.", s.Undecodable)
		add("dead_letters_total", "Messages put aside.", s.DeadLetters)
		add("unreached_dead_letters_total", "Messages put aside that may have left copies alive.", s.Unreached)
		add("duplicate_events_total", "Events that were not fenced again.", s.Duplicates)
		add("parked_events_total", "Copies of events kept for the release of a rule.", s.Parked)
		add("coarsened_events_total", "Events for which a rule's reach was fenced, for they were beyond its limit.", s.Coarsened)
		add("settled_total", "Second fences' rounds.", s.Settled)
		add("coalesced_records_total", "Records of coalesced fences.", s.Windows)
		for _, r := range inv.Parked() {
			all = append(all, ops.Sample{Name: "tercet_invalidator_rule_parked", Help: "1 for a rule that is parked: what its events would clear is not cleared.",
				Value: 1, Label: "rule", LabelValue: r.Rule})
		}
		add("panics_total", "Defects met; should be 0.", s.Panics)
		for name, r := range s.Rules {
			all = append(all,
				ops.Sample{Name: "tercet_invalidator_rule_matches_total", Help: "Events that a rule was about.",
					Value: float64(r.Matched), Label: "rule", LabelValue: name},
				ops.Sample{Name: "tercet_invalidator_rule_failures_total", Help: "Events on which a part of a rule failed.",
					Value: float64(r.Failed), Label: "rule", LabelValue: name},
				ops.Sample{Name: "tercet_invalidator_rule_misses_total", Help: "Events that a rule was not about, since it came into force.",
					Value: float64(r.Missed), Label: "rule", LabelValue: name},
				ops.Sample{Name: "tercet_invalidator_rule_lag_seconds_total", Help: "Time from the stream to the fences, of all events that a rule was about.",
					Value: r.Lag.Seconds(), Label: "rule", LabelValue: name},
				ops.Sample{Name: "tercet_invalidator_rule_lag_seconds", Help: "Time from the stream to the fences, of the last event that a rule was about.",
					Value: r.LastLag.Seconds(), Label: "rule", LabelValue: name})
		}
		return all
	}
}
