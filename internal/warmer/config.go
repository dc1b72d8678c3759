package warmer

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/internal/warmer/hotset"
	"github.com/raptorflow/tercet/internal/warmer/popularity"
	"github.com/raptorflow/tercet/internal/warmer/settle"
)

// ErrConfig reports a configuration that breaks a rule.
var ErrConfig = errors.New("invalid warmer configuration")

// Config shapes a [Warmer]. Zero fields take their defaults.
type Config struct {
	// Rate is how many requests per second go out at most; default 200.
	// Burst is how many at once after a rest; default 50.
	Rate  float64
	Burst int

	// Settle is how long a key waits after its fence, 50 ms by default, so
	// that the other records of the same change come before the load; Jitter,
	// 100 ms by default, spreads the loads of a large fence.
	Settle, Jitter time.Duration
	// Interval is the least time between two requests for a key; default 1 s.
	Interval time.Duration
	// Pending is how many keys are remembered, waiting or resting; default
	// 65536.
	Pending int

	// Deadline is how long a request is of interest; default 10 s.
	Deadline time.Duration
	// MaxAge is the age, by the log's timestamps against this machine's clock,
	// beyond which a record is the past: readers have loaded what was hot.
	// Default 1 min. It must exceed the difference of the clocks.
	MaxAge time.Duration
}

func (c Config) withDefaults() (Config, error) {
	c.Rate = cmp.Or(c.Rate, 200)
	c.Burst = cmp.Or(c.Burst, 50)
	c.Settle = cmp.Or(c.Settle, 50*time.Millisecond)
	c.Jitter = cmp.Or(c.Jitter, 100*time.Millisecond)
	c.Interval = cmp.Or(c.Interval, time.Second)
	c.Pending = cmp.Or(c.Pending, 65_536)
	c.Deadline = cmp.Or(c.Deadline, 10*time.Second)
	c.MaxAge = cmp.Or(c.MaxAge, time.Minute)
	for name, d := range map[string]time.Duration{"deadline": c.Deadline, "max age": c.MaxAge} {
		if d < time.Millisecond {
			return c, fmt.Errorf("%w: %s %v, want 1ms or longer", ErrConfig, name, d)
		}
	}
	return c, nil
}

func (c Config) settle() settle.Config {
	return settle.Config{Delay: c.Settle, Jitter: c.Jitter, Interval: c.Interval, Capacity: c.Pending}
}

// DefaultHotset returns the predictor's configuration for following the given
// number of keys; 0 means 16384. A key is hot from one read in two seconds on,
// counts halve in a minute, and one record warms up to 512 keys.
func DefaultHotset(keys int) hotset.Config {
	return hotset.Config{
		Popularity: popularity.Config{Capacity: cmp.Or(keys, 16_384), HalfLife: time.Minute},
		MinRate:    0.5,
		MaxVictims: 512,
	}
}
