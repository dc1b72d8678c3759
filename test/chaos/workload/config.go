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
	// Clients is how many act at once; default 12.
	Clients int `yaml:"clients"`
	// Pause is how long each waits between two operations; default 10 ms.
	Pause time.Duration `yaml:"pause"`
	// Keys is how many keys a lane has in a generation; default 6.
	Keys int `yaml:"keys"`
	// Generation is how long keys are written; default 15 s.
	Generation time.Duration `yaml:"generation"`
	// Embedded is how many clients run a member of the domain in this process;
	// default 2. Lanes bracketed, loaded and herd need one.
	Embedded int `yaml:"embedded"`
	// Lag is the longest time that a load keeps its snapshot before it answers;
	// default 200 ms.
	Lag time.Duration `yaml:"lag"`
	// Lanes are those in use; default all.
	Lanes []Lane `yaml:"lanes"`
	// Bound is the staleness that bounded reads allow; default 500 ms.
	Bound time.Duration `yaml:"bound"`
	// ReadOnly: nothing is written and no member is made.
	ReadOnly bool `yaml:"-"`
}

func (m Mix) withDefaults() Mix {
	set(&m.Clients, 12)
	set(&m.Pause, 10*time.Millisecond)
	set(&m.Keys, 6)
	set(&m.Generation, 15*time.Second)
	set(&m.Embedded, 2)
	set(&m.Lag, 200*time.Millisecond)
	set(&m.Bound, 500*time.Millisecond)
	if len(m.Lanes) == 0 {
		m.Lanes = []Lane{Register, Everywhere, Bracketed, Loaded, Herd}
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
	// Nodes returns the nodes as they are now.
	Nodes func() []Endpoint
	// NATSURL and RedisURL are the observer's way to the servers, which no fault
	// cuts.
	NATSURL, RedisURL string
	// Embedded returns the way of the i-th embedded client, which faults may cut;
	// default the observer's.
	Embedded func(i int) (natsURL, redisURL string)
	// Dir is for the origin's database and the members' disks. It must exist.
	Dir    string
	Logger *slog.Logger
}
