package judge

import (
	"time"

	"github.com/raptorflow/tercet/test/chaos/gauge"
	"github.com/raptorflow/tercet/test/chaos/workload"
)

// Fault is one on the timeline of a run.
type Fault struct {
	// At is when the damage began, Struck when it was done, if that took a while.
	At     time.Duration `json:"at"`
	Struck time.Duration `json:"struck,omitempty"`
	// Until is when it was healed; 0: it heals by itself at once.
	Until time.Duration `json:"until,omitempty"`
	Kind  string        `json:"kind"`
	// Target is who was struck, What what was done, Proof how it is known that it
	// took effect. Without a proof it counts as not injected.
	Target string `json:"target"`
	What   string `json:"what"`
	Proof  string `json:"proof"`
	// History says that the log's history was changed by it: records were lost
	// that had been acknowledged.
	History bool `json:"history,omitempty"`
	// Tier says that a tier was given back an older or damaged content.
	Tier bool `json:"tier,omitempty"`
	// Restarts says that Target is a process that was killed and started again.
	Restarts bool `json:"restarts,omitempty"`
	// Missing says why it could not be injected; empty: it was.
	Missing string `json:"missing,omitempty"`
}

// struck is when the damage was done.
func (f Fault) struck() time.Duration { return max(f.At, f.Struck) }

// Case is what is judged.
type Case struct {
	workload.Record
	Faults  []Fault
	Samples []gauge.Sample
	// Ended is when clients stopped.
	Ended time.Duration
	// Expect names the judges that must have something to judge; nil: all that a
	// workload with these faults gives something to.
	Expect []string
	// Epoch says whether the log's history may change: never, required, or
	// allowed, which is the default.
	Epoch  string
	Limits Limits
}

// Limits are what a scenario allows. Zero fields take their defaults.
type Limits struct {
	// Unavailable is the longest time for which a level may have served nobody;
	// default 60 s. Recovery is how long after a fault was healed every member
	// serves every level again; default 60 s.
	Unavailable time.Duration `yaml:"unavailable"`
	Recovery    time.Duration `yaml:"recovery"`
	// Growth is by how much a process's memory may grow from the first third of
	// a run to the last, as a factor; default 1.5. It counts above 64 MiB.
	Growth float64 `yaml:"growth"`
}

func (l Limits) withDefaults() Limits {
	if l.Unavailable == 0 {
		l.Unavailable = time.Minute
	}
	if l.Recovery == 0 {
		l.Recovery = time.Minute
	}
	if l.Growth == 0 {
		l.Growth = 1.5
	}
	return l
}

// Verdict is one judge's.
type Verdict struct {
	Name string `json:"name"`
	// What it judges, in a sentence.
	What string `json:"what"`
	// Judged is how many operations (or loads, events, samples) it judged.
	Judged int `json:"judged"`
	// Violations is how many were wrong; First tells of some.
	Violations int    `json:"violations"`
	First      string `json:"first,omitempty"`
	// Figures are what it measured, in a few words.
	Figures string `json:"figures,omitempty"`
	// Idle says why it had nothing to judge; a judge that was expected to have
	// something fails with it.
	Idle     string `json:"idle,omitempty"`
	Expected bool   `json:"expected"`
	// Picture is porcupine's, as HTML; nil: there is none.
	Picture []byte `json:"-"`
}

// Failed reports whether the verdict is against the fleet or says nothing where
// it should.
func (v Verdict) Failed() bool { return v.Violations > 0 || v.Expected && v.Judged == 0 }
