package invalidator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// DeadStream holds dead letters.
const DeadStream = "EVENTS_DEAD"

// StreamOptions say how the events' streams are kept. Zero fields take their
// defaults.
type StreamOptions struct {
	// Replicas is how many servers keep the streams: 1 (default), 3 or 5.
	Replicas int
	// EventAge is how long events are kept. It bounds how long invalidators
	// may be away, and what can be replayed to test new rules. Default 7 days.
	EventAge time.Duration
	// DeadAge is how long dead letters are kept. Default 30 days.
	DeadAge time.Duration
}

// ErrStreamDiffers reports a stream that is there and does not carry the
// subjects that it should.
var ErrStreamDiffers = errors.New("stream does not carry the subjects")

// EnsureStreams makes the streams of events, dead letters and parked events
// where they are missing. Streams that are there keep their settings; one without its
// subjects is reported as [ErrStreamDiffers].
func EnsureStreams(ctx context.Context, js jetstream.JetStream, o StreamOptions) error {
	const day = 24 * time.Hour
	for _, c := range []jetstream.StreamConfig{
		{
			Name: DefaultStream, Subjects: []string{EventSubjects},
			Description: "Domain events, the invalidators' input",
			MaxAge:      cmp.Or(o.EventAge, 7*day),
		},
		{
			Name: DeadStream, Subjects: []string{DeadSubject + ">"},
			Description: "Domain events that could not be understood",
			MaxAge:      cmp.Or(o.DeadAge, 30*day),
		},
		{
			// Without limit of age: what waits here has not been cleared yet.
			Name: ParkedStream, Subjects: []string{parkedSubjects},
			Description: "Domain events of parked rules, and the states of rules with a limit",
			AllowRollup: true, AllowDirect: true,
		},
	} {
		c.Storage = jetstream.FileStorage
		c.Retention = jetstream.LimitsPolicy
		c.Replicas = cmp.Or(o.Replicas, 1)
		c.Duplicates = 2 * time.Minute
		if err := ensureStream(ctx, js, c); err != nil {
			return err
		}
	}
	return nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) error {
	_, err := js.CreateStream(ctx, c)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("create stream %s: %w", c.Name, err)
	}
	stream, err := js.Stream(ctx, c.Name)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", c.Name, err)
	}
	for _, subject := range c.Subjects {
		if have := stream.CachedInfo().Config.Subjects; !slices.Contains(have, subject) {
			return fmt.Errorf("stream %s: %w: has %v, wants %s", c.Name, ErrStreamDiffers, have, subject)
		}
	}
	return nil
}
