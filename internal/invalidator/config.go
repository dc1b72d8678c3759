package invalidator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// Fencer puts fences into a domain's log. It is safe for concurrent use; the
// more calls are under way, the more fences may share a record.
type Fencer interface {
	// Fence returns nil once all the fences, which belong together, are in the
	// domain's log. An error that wraps [events.ErrTooLarge] says that one
	// record can't hold them, so that they come again in smaller groups; one
	// that wraps [events.ErrInvalid] says that they will never land. After any
	// other error they are tried again, though some may have landed.
	Fence(ctx context.Context, domain string, fences ...*events.Invalidate) error
}

// Warmer asks for hot victims of a fence to be loaded again. It is safe for
// concurrent use.
type Warmer interface {
	// Warm is called after the fence landed. An error is counted and
	// otherwise of no consequence: a cold key is loaded by its next reader.
	Warm(ctx context.Context, domain string, scope events.Scope) error
}

// Deps are what an invalidator works with.
type Deps struct {
	// JetStream's connection stays the caller's: it is neither drained nor
	// closed.
	JetStream jetstream.JetStream
	Fencer    Fencer
	// Everywhere lands the fences of rules that ask for it: it returns nil only
	// once every member of the domain has applied them. Nil: events of such
	// rules wait for a process that can.
	Everywhere Fencer
	// Warmer is nil where nothing reloads.
	Warmer Warmer
	Rules  *rules.Set
	// TracerProvider records a span for each event. Nil: OpenTelemetry's global
	// one, which records nothing unless somebody installed one that does.
	TracerProvider trace.TracerProvider
	// Logger is nil for silence.
	Logger *slog.Logger
}

// Config says which events to follow and how hard. Zero fields take their
// defaults.
type Config struct {
	// Stream holds the events; it must exist (see [EnsureStreams]). Default
	// "EVENTS".
	Stream string
	// Subjects are those of the stream that are followed. Default "events.>".
	Subjects []string
	// Durable names the consumer that all invalidators of a fleet share: each
	// event goes to one of them. Another name is another reader of all events.
	// Default "tercet-invalidator".
	Durable string
	// InFlight is how many events are processed at a time. More: larger
	// records in the log and so more events per second, and as many more to be
	// processed again after a crash. Default 1024.
	InFlight int
	// Waiting is how many events more may wait for the end of a rule's settle or
	// coalesce. Beyond it they take the place of others in flight. Default
	// 16384.
	Waiting int
	// Duplicates is how many events are remembered, so that the same event sent
	// again is not fenced again. It saves work and is of no other consequence.
	// Default 65536; negative: none.
	Duplicates int
	// AckWait is how long the stream waits for a process that fell silent
	// before another one gets its events. Longer: fences of a crashed process
	// come later. Shorter: long pauses make duplicates. Default 30s.
	AckWait time.Duration
	// Grace is how long events under way may take after Run's context ended.
	// Default 10s.
	Grace time.Duration
	// Retries is how often an event is tried again at once, with a growing
	// delay of at first RetryDelay, before it goes back to the stream to be
	// delivered later. Defaults 5 and 50ms.
	Retries    int
	RetryDelay time.Duration
	// Now tells the time by which limits count their minutes. Default time.Now.
	Now func() time.Time
	// Decode says how to read plain JSON.
	Decode domainevent.Options
}

const (
	DefaultStream  = "EVENTS"
	DefaultDurable = "tercet-invalidator"
	// EventSubjects are the subjects of domain events.
	EventSubjects = "events.>"
)

func (c Config) withDefaults() Config {
	c.Stream = cmp.Or(c.Stream, DefaultStream)
	c.Durable = cmp.Or(c.Durable, DefaultDurable)
	c.InFlight = cmp.Or(c.InFlight, 1024)
	c.Waiting = cmp.Or(c.Waiting, 16_384)
	c.Duplicates = cmp.Or(c.Duplicates, 65_536)
	c.AckWait = cmp.Or(c.AckWait, 30*time.Second)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	c.Retries = cmp.Or(c.Retries, 5)
	c.RetryDelay = cmp.Or(c.RetryDelay, 50*time.Millisecond)
	if c.Now == nil {
		c.Now = time.Now
	}
	if len(c.Subjects) == 0 {
		c.Subjects = []string{EventSubjects}
	}
	return c
}

// ErrConfig is wrapped by errors about a configuration that can't work.
var ErrConfig = errors.New("invalidator configuration")

func (c Config) validate(d Deps) error {
	switch {
	case d.JetStream == nil:
		return fmt.Errorf("%w: no JetStream", ErrConfig)
	case d.Fencer == nil:
		return fmt.Errorf("%w: no Fencer", ErrConfig)
	case d.Rules == nil:
		return fmt.Errorf("%w: no rules", ErrConfig)
	case c.InFlight < 1 || c.InFlight > maxInFlight:
		return fmt.Errorf("%w: %d events in flight, want 1 to %d", ErrConfig, c.InFlight, maxInFlight)
	case c.AckWait < time.Second:
		return fmt.Errorf("%w: ack wait %v, at least 1s", ErrConfig, c.AckWait)
	case c.Grace < 0 || c.Retries < 0 || c.RetryDelay < 0 || c.Waiting < 0:
		return fmt.Errorf("%w: negative grace, retries, retry delay or waiting", ErrConfig)
	case c.InFlight+c.Waiting > maxAckPending:
		return fmt.Errorf("%w: %d events in flight and %d waiting, together at most %d", ErrConfig, c.InFlight, c.Waiting, maxAckPending)
	}
	return nil
}

const maxInFlight = 16_384
