package trial

import (
	"errors"
	"fmt"
	"time"
)

// Options say what to play. The zero value plays a year of a small shop.
type Options struct {
	// Input is a file or directory to play; empty: the generated shop.
	Input string
	// Seed makes everything that is made up; default 1.
	Seed uint64
	// Duration is how long the workload is played; default 22 s, at most 45 s.
	// Starting, settling and sweeping come on top.
	Duration time.Duration
	// MaxReads bounds the reads; default as many as fit the duration.
	MaxReads int
	// Keep leaves the fleet up after the summary, until the context ends.
	Keep bool
	// JSON prints the summary as one JSON object on the last line.
	JSON bool
	// Color writes emphasis as terminal sequences.
	Color bool
}

const (
	defaultDuration = 22 * time.Second
	maxDuration     = 40 * time.Second
	// limit is when a run ends at the latest, counted from its start.
	limit = 54 * time.Second
	// lease is the fleet's. It is short, so that a cut off node would show
	// within the demonstration, and still bears seconds of a busy machine.
	lease = 3 * time.Second
	// bound is after which an overwritten value is stale: G3 promises the
	// lease, counted from the fence; here it is counted from the commit
	// already, so the event's way is included.
	bound = lease
)

// ErrOptions is wrapped by errors about options that can't work.
var ErrOptions = errors.New("trial options")

func (o Options) withDefaults() (Options, error) {
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Duration == 0 {
		o.Duration = defaultDuration
	}
	switch {
	case o.Duration < time.Second || o.Duration > maxDuration:
		return o, fmt.Errorf("%w: duration %v, want 1s to %v", ErrOptions, o.Duration, maxDuration)
	case o.MaxReads < 0:
		return o, fmt.Errorf("%w: %d reads", ErrOptions, o.MaxReads)
	}
	if o.MaxReads == 0 {
		o.MaxReads = max(1000, int(readsPerSecond*o.Duration.Seconds()))
	}
	return o, nil
}

// readsPerSecond is a pace that two cores keep up with while they run the
// servers, three nodes and the judge as well.
const readsPerSecond = 7000
