package scenario

import (
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

// Scenario is one named run.
type Scenario struct {
	Name string `yaml:"name"`
	// Why says what the scenario attacks.
	Why string `yaml:"why"`
	// Duration is how long faults and workload go on, the settling at the end
	// not counted.
	Duration time.Duration `yaml:"duration"`
	Fleet    fleet.Shape   `yaml:"fleet"`
	Workload Workload      `yaml:"workload"`
	Faults   []Fault       `yaml:"faults"`
	Expect   Expect        `yaml:"expect"`
}

// Workload is what clients do. Zero fields take their defaults from package
// workload.
type Workload struct {
	// Clients is how many there are; each does one thing at a time.
	Clients int `yaml:"clients"`
	// Rate is how many operations all of them begin in a second, at most.
	Rate float64 `yaml:"rate"`
	// Keys is how many keys they share.
	Keys int `yaml:"keys"`
	// Skew is the exponent of the keys' popularity; 0: all alike.
	Skew float64 `yaml:"skew"`
	// Lag is how long the origin's replica, from which some loads are served, is
	// behind.
	Lag time.Duration `yaml:"lag"`
	// Mix is the weight of each kind of operation; package workload names them.
	Mix map[string]int `yaml:"mix"`
}

// Fault is one line of the schedule.
type Fault struct {
	// Fault names a kind of package fault.
	Fault string `yaml:"fault"`
	// Target is a name (node-b, nats-1), a link (node-b|nats) or a choice that the
	// seed makes: any node, any nats. Kinds say what they take.
	Target string `yaml:"target"`
	// At is when it is injected, from the run's beginning; For how long it lasts.
	At  time.Duration `yaml:"at"`
	For time.Duration `yaml:"for"`
	// Every repeats it until the run ends; 0: once.
	Every time.Duration `yaml:"every"`
	// Jitter is how much later than that each may begin, by the seed.
	Jitter time.Duration `yaml:"jitter"`
	// With are the kind's own parameters.
	With map[string]string `yaml:"with"`
}

// Expect is what the scenario allows.
type Expect struct {
	// Epoch: never (the log's history must not change), allowed, or required.
	Epoch string `yaml:"epoch"`
	// Recovery is within what time after the last fault was healed every level
	// must be served again.
	Recovery time.Duration `yaml:"recovery"`
	// LostAcknowledged allows that acknowledged records are gone from the log, as
	// after a restore of a backup; it must then show as a changed epoch.
	LostAcknowledged bool `yaml:"lost_acknowledged"`
}
