package record

import (
	"time"

	"github.com/raptorflow/tercet/test/history"
)

// Event is one fault on a run's timeline. Times count from the run's beginning.
type Event struct {
	At   time.Duration `json:"at"`
	Kind string        `json:"kind"`
	// Target is the member, server or link that it struck.
	Target string `json:"target"`
	// What says in a sentence what was done.
	What string `json:"what"`
	// Proof says how it is known that the fault took effect; empty: it is not,
	// and Failed says why.
	Proof string `json:"proof"`
	// Until is when it was healed; At for what happens in an instant.
	Until time.Duration `json:"until"`
	// Failed says why the fault could not be injected or healed.
	Failed string `json:"failed,omitempty"`
}

// Injected reports whether the fault is known to have taken effect.
func (e Event) Injected() bool { return e.Proof != "" && e.Failed == "" }

// Class is how an operation of a client ended.
type Class string

// The classes.
const (
	// OK is an answer, a miss among them.
	OK Class = "ok"
	// Refused is an answer that says that this level can't be had now.
	Refused Class = "refused"
	// Failed is no answer, or another error.
	Failed Class = "failed"
	// Indeterminate is a write that may have happened.
	Indeterminate Class = "indeterminate"
)

// Sample is what one operation cost and whether it could be had. A sample is
// taken of each, the ones without an answer too.
type Sample struct {
	// At is when it was called, from the run's beginning.
	At, Took time.Duration
	// Op is what was asked: a read's level, a write's concern, a kind of event.
	Op string
	// Via is how: resp, http, embedded. Member is who was asked.
	Via, Member string
	Class       Class
	// Stale is by how much a read's value was behind the newest one that was
	// acknowledged when it was called; 0: it was not.
	Stale time.Duration
}

// Usage is what one process held at one time.
type Usage struct {
	At         time.Duration
	Name, Kind string
	Pid        int
	RSS        int64 // bytes
	Files      int
	Threads    int
	// Goroutines is 0 for a process that does not tell.
	Goroutines int
}

// Verdict is what one judge says.
type Verdict struct {
	// Name is the judge's, Clause what it judges by, such as G4.
	Name   string `json:"name"`
	Clause string `json:"clause"`
	// Judged counts the operations that it looked at. None is a failure: a judge
	// who saw nothing has found nothing.
	Judged int `json:"judged"`
	// Violations are what it found, the first of them in full.
	Violations []string `json:"violations,omitempty"`
	// Note is a figure or a remark for the report.
	Note string `json:"note,omitempty"`
}

// OK reports whether the judge found nothing wrong and judged something.
func (v Verdict) OK() bool { return v.Judged > 0 && len(v.Violations) == 0 }

// Outcome is a run that has ended.
type Outcome struct {
	Scenario string        `json:"scenario"`
	Why      string        `json:"why"`
	Seed     uint64        `json:"seed"`
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took"`
	// Rerun is the line that plays it again.
	Rerun    string       `json:"rerun"`
	Events   []Event      `json:"events"`
	Verdicts []Verdict    `json:"verdicts"`
	History  []history.Op `json:"-"`
	Samples  []Sample     `json:"-"`
	Usage    []Usage      `json:"-"`
	// Faults are what went wrong with the harness itself.
	Faults []string `json:"faults,omitempty"`
}

// OK reports whether each listed fault was injected, each judge is content, and
// the harness did what it should.
func (o *Outcome) OK() bool {
	for _, e := range o.Events {
		if !e.Injected() {
			return false
		}
	}
	for _, v := range o.Verdicts {
		if !v.OK() {
			return false
		}
	}
	return len(o.Verdicts) > 0 && len(o.Faults) == 0
}
