package run

import (
	"time"

	"github.com/raptorflow/tercet/test/chaos/judge"
)

// Outcome is a run that has ended.
type Outcome struct {
	Scenario string
	Why      string
	Seed     uint64
	Began    time.Time
	Took     time.Duration
	// Rerun is the line that plays it again.
	Rerun string
	// Case is what was recorded, the timeline of faults included.
	Case     judge.Case
	Verdicts []judge.Verdict
	// Trouble is what went wrong with the harness, or with processes that ended
	// by themselves.
	Trouble []string
	// Dir holds logs, data and what else is kept of the run.
	Dir string
}

// Failed reports whether a judge found something, a listed fault is not known to
// have taken effect, or the harness failed.
func (o *Outcome) Failed() bool {
	for _, f := range o.Case.Faults {
		if f.Missing != "" || f.Proof == "" {
			return true
		}
	}
	for _, v := range o.Verdicts {
		if v.Failed() {
			return true
		}
	}
	return len(o.Verdicts) == 0 || len(o.Trouble) > 0
}
