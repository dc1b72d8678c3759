package scratch

import (
	"time"

	"github.com/raptorflow/tercet/internal/clock"
)

// stopped is a clock by whose wall it is always the same time, so that what had
// not expired then has not expired; its leases run as everybody's.
type stopped struct {
	clock.Clock
	unix int64 // milliseconds
}

func newStopped(at time.Time) stopped { return stopped{clock.NewSystem(), at.UnixMilli()} }

// Now implements [clock.Clock].
func (s stopped) Now() clock.Reading {
	r := s.Clock.Now()
	r.Unix = s.unix
	return r
}
