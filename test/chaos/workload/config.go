package workload

import (
	"log/slog"
	"time"
)

// Endpoint is a node as a client reaches it: host and port. Empty addresses are
// not used.
type Endpoint struct{ Name, RESP, HTTP string }

// Mix says how busy a workload is. Zero fields take their defaults.
type Mix struct {
	// Clients is how many act at once, one operation each; default 12.
	Clients int `yaml:"clients"`
	// Rate is how many operations all of them begin in a second, at most; default
	// 400.
	Rate float64 `yaml:"rate"`
	// Keys is how many keys a lane has in a generation; default 6.
	Keys int `yaml:"keys"`
	// Skew is the exponent by which the n-th key of a lane is rarer than the
	// first; default 0.5.
	Skew float64 `yaml:"skew"`
	// Generation is how long keys are written; default 15 s.
	Generation time.Duration `yaml:"generation"`
	// Embedded is how many clients run a member of the domain in this process;
	// default 2. Lanes bracketed, loaded and herd need one.
	Embedded int `yaml:"embedded"`
	// Lag is the longest time that a load keeps its snapshot before it answers;
	// default 200 ms.
	Lag time.Duration `yaml:"lag"`
	// Bound is the staleness that bounded reads allow; default 500 ms.
	Bound time.Duration `yaml:"bound"`
	// Weights say how often each lane is chosen; default 4, 2, 2, 3 and 1 in
	// their order. A lane without a weight is not used, if any has one.
	Weights map[Lane]int `yaml:"weights"`
	// ReadOnly: nothing is written and no member is made; values that are there
	// are read, and not judged.
	ReadOnly bool `yaml:"-"`
}

func (m Mix) withDefaults() Mix {
	set(&m.Clients, 12)
	set(&m.Rate, 400)
	set(&m.Keys, 6)
	set(&m.Skew, 0.5)
	set(&m.Generation, 15*time.Second)
	set(&m.Embedded, 2)
	set(&m.Lag, 200*time.Millisecond)
	set(&m.Bound, 500*time.Millisecond)
	if len(m.Weights) == 0 {
		m.Weights = map[Lane]int{Register: 4, Everywhere: 2, Bracketed: 2, Loaded: 3, Herd: 1}
	}
	return m
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Config says what to keep busy.
type Config struct {
	Seed uint64
	Mix  Mix

	Domain string
	Lease  time.Duration
	// Begun is when the run began: all times count from there.
	Begun time.Time
	// Nodes returns the nodes as they are now.
	Nodes func() []Endpoint
	// NATSURL and RedisURL are the observer's way to the servers, which no fault
	// cuts.
	NATSURL, RedisURL string
	// Embedded returns the way of the i-th embedded client, which faults may cut;
	// nil: the observer's.
	Embedded func(i int) (natsURL, redisURL string)
	// Dir is for the origin's database and the members' disks. It must exist.
	Dir    string
	Logger *slog.Logger
}

// Rules are what the invalidators of domain chaos have to be given: an event
// names the row that has changed.
const Rules = `version: 1
domains: [chaos]
rules:
  - name: row-changed
    match: {type: chaos.row.changed}
    keys: ["{data.key}"]
  - name: shelf-changed
    match: {type: chaos.shelf.changed}
    tags: ["{data.tag}"]
`
