package input

import "time"

// Workload is what a trial plays.
type Workload struct {
	// Name says in a line what it is.
	Name string
	// Domain is the cache's name.
	Domain string
	Steps  []Step
	// Reads and Changes count the steps of each kind.
	Reads, Changes int
	// Start is the instant that a step's At counts from; zero if the input
	// knows no times.
	Start time.Time
	// Rules are the invalidator's rules for the workload's events, in YAML.
	Rules []byte
	// Schema says what the values behind the keys are made of.
	Schema Schema
	// Attributes are the rows' attributes before the first step.
	Attributes []Attribute
	// LeftOut says, in sentences, what of the input is not played.
	LeftOut []string
}

// Step is a read or, if Change is set, a change.
type Step struct {
	// At is the time since the workload's Start, in the workload's own time;
	// it never falls from step to step.
	At time.Duration
	// Key is what a read asks for.
	Key    string
	Change *Change
}

// Change is something that happened at the origin.
type Change struct {
	// ID names the change, uniquely within the workload.
	ID string
	// EventID is the id that the event itself carries; empty if it carries
	// none. It need not be unique: files repeat themselves.
	EventID string
	// Subject is the NATS subject that the event is published under.
	Subject string
	// Event is the event's JSON.
	Event []byte
	// What says in a few words what happened.
	What string
	// Writes names the rows that the change wrote. Rows are the origin's, not
	// the cache's; see [Schema].
	Writes []string
	// Sets gives attributes of rows new values.
	Sets []Attribute
	// Told asks for the change to be narrated. Reach then holds keys whose
	// values it changes: all of them, or the first [MaxReach].
	Told  bool
	Reach []string
}

// MaxReach bounds the keys that a narrated change lists.
const MaxReach = 2000

// Attribute is a fact about a row that other values depend on, such as the
// category that a product is in.
type Attribute struct {
	Row, Value string
}

// View is what a cached value is made of.
type View struct {
	// Rows are the rows that the value is computed from: a write to any of
	// them overwrites the value.
	Rows []string
	// Tags are what the origin gives along with the value.
	Tags []string
}

// Schema says what a key's value is made of, given the attributes as they are
// now. It is a pure function of its arguments and safe for concurrent use.
type Schema interface {
	View(key string, attribute func(row string) string) View
}

// Options say how much of an input to take.
type Options struct {
	// Seed makes every made-up step; the same seed makes the same steps.
	Seed uint64
	// MaxReads bounds the reads; 0 means [DefaultMaxReads].
	MaxReads int
}

// DefaultMaxReads is what a trial of some 25 s plays without haste on two
// cores.
const DefaultMaxReads = 150_000

func (o Options) withDefaults() Options {
	if o.MaxReads == 0 {
		o.MaxReads = DefaultMaxReads
	}
	return o
}

func (w *Workload) count() {
	w.Reads, w.Changes = 0, 0
	for i := range w.Steps {
		if w.Steps[i].Change != nil {
			w.Changes++
		} else {
			w.Reads++
		}
	}
}
