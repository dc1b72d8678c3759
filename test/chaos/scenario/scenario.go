package scenario

import (
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/workload"
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
	Workload workload.Mix  `yaml:"workload"`
	// Faults are on a schedule; Rotation plays others one after another.
	Faults   []Fault  `yaml:"faults"`
	Rotation Rotation `yaml:"rotation"`
	Expect   Expect   `yaml:"expect"`
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

// Rotation plays faults one at a time, in an order that the seed makes and that
// is another one in each round, until the run ends.
type Rotation struct {
	// Gap is how long nothing is wrong between two of them.
	Gap    time.Duration `yaml:"gap"`
	Faults []Fault       `yaml:"faults"`
}

// Last has the scenario go on for d. What is on the schedule is stretched or
// shortened with it, how long each fault lasts is not.
func (s *Scenario) Last(d time.Duration) {
	for i := range s.Faults {
		f := &s.Faults[i]
		f.At = time.Duration(float64(f.At) * float64(d) / float64(s.Duration))
	}
	s.Duration = d
}

// Expect is what the scenario allows.
type Expect struct {
	// Epoch: never (the log's history must not change), allowed, or required.
	Epoch string `yaml:"epoch"`
	// Limits are what unavailability, recovery and growth are held against.
	Limits judge.Limits `yaml:"limits"`
	// Judges are those that must have something to judge; none: all that the
	// workload and the faults give something to.
	Judges []string `yaml:"judges"`
}
