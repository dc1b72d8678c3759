package memlog

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Fate is what becomes of one attempt to publish.
type Fate uint8

const (
	// Landed: stored and acknowledged.
	Landed Fate = iota
	// Refused: the server says no, for good.
	Refused
	// RequestLost: it never reaches the server, and nobody says so.
	RequestLost
	// AnswerLost: it is stored, but the acknowledgement is lost.
	AnswerLost
)

// Route is what becomes of one record on its way to a follower.
type Route uint8

const (
	// Delivered: it arrives.
	Delivered Route = iota
	// Repeated: it arrives, and so does once more the record before it.
	Repeated
	// Dropped: it is lost on the way.
	Dropped
	// Overtaken: the record behind it arrives first.
	Overtaken
	// Stalled: the consumer goes dead without a sign.
	Stalled
)

// Faults are injected below the port of one [Log]. A nil function injects
// nothing. The functions are called from the goroutines that publish and
// follow, one call at a time per Log.
type Faults struct {
	// Publish decides on one attempt, and after how long the client learns.
	Publish func(id events.ID, attempt int) (Fate, time.Duration)
	// Deliver decides on one record on its way to a follower.
	Deliver func(p events.Position) Route
	// Delay is how long a batch takes to reach a follower.
	Delay func() time.Duration
}
