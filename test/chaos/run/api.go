package run

import "github.com/raptorflow/tercet/test/chaos/record"

// The nouns of a run, as package record has them.
type (
	Event   = record.Event
	Outcome = record.Outcome
	Verdict = record.Verdict
)
