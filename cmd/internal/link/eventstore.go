package link

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/intake"
)

// intakePatience is how long a request waits for the stream.
const intakePatience = 10 * time.Second

// NewIntake returns the handler that stores events which come over HTTP.
func NewIntake(nc *nats.Conn, c config.Invalidator) (*intake.Handler, error) {
	s, err := NewEventStore(nc, intakePatience)
	if err != nil {
		return nil, err
	}
	return intake.NewHandler(s, intake.Config{Timeout: intakePatience, Decode: DecodeOptions(c)}), nil
}

// DecodeOptions says how c has plain JSON read.
func DecodeOptions(c config.Invalidator) domainevent.Options {
	return domainevent.Options{TypeField: c.TypeField, IDField: c.IDField}
}

// EventStore puts domain events into the stream that the invalidator reads. It
// is safe for concurrent use.
type EventStore struct {
	nc *nats.Conn
	js jetstream.JetStream
}

var _ intake.Store = (*EventStore)(nil)

// maxUnacknowledged bounds the events of all callers that wait for the stream.
const maxUnacknowledged = 4096

// NewEventStore returns a store on nc, which stays the caller's. An event that
// is not acknowledged within patience counts as not stored.
func NewEventStore(nc *nats.Conn, patience time.Duration) (*EventStore, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(maxUnacknowledged), jetstream.WithPublishAsyncTimeout(patience))
	if err != nil {
		return nil, err
	}
	return &EventStore{nc: nc, js: js}, nil
}

// headerRoom is what a message's headers may take of the server's limit beyond
// their own text.
const headerRoom = 64

// Send hands a letter to the server and returns what will tell whether it is
// kept. An error that wraps [intake.ErrTooLarge] says that it never will be.
func (s *EventStore) Send(l intake.Letter) (jetstream.PubAckFuture, error) {
	if err := s.fits(l); err != nil {
		return nil, err
	}
	m := nats.NewMsg(l.Subject)
	for name, value := range l.Header {
		m.Header[name] = []string{value} // as it is spelt: the bindings want lower case
	}
	if l.ID != "" {
		m.Header.Set(nats.MsgIdHdr, l.ID)
	}
	m.Data = l.Body
	return s.js.PublishMsgAsync(m)
}

func (s *EventStore) fits(l intake.Letter) error {
	size := len(l.Body) + len(l.ID) + headerRoom
	for name, value := range l.Header {
		size += len(name) + len(value) + 4
	}
	if most := int(s.nc.MaxPayload()); size > most {
		return fmt.Errorf("%w: %d bytes, the server takes %d", intake.ErrTooLarge, size, most)
	}
	return nil
}

// Store puts all letters into the stream.
func (s *EventStore) Store(ctx context.Context, letters []intake.Letter) (done intake.Stored, err error) {
	for i, l := range letters {
		if err := s.fits(l); err != nil {
			return done, fmt.Errorf("event %d: %w", i, err)
		}
	}
	waiting := make([]jetstream.PubAckFuture, 0, len(letters))
	var faults []error
	for _, l := range letters {
		f, err := s.Send(l)
		if err != nil {
			faults = append(faults, err)
			break // the next ones would fare no better
		}
		waiting = append(waiting, f)
	}
	for _, f := range waiting {
		select {
		case ack := <-f.Ok():
			done.Stored++
			if ack.Duplicate {
				done.Repeated++
			}
		case err := <-f.Err():
			faults = append(faults, err)
		case <-ctx.Done():
			faults = append(faults, ctx.Err())
		}
	}
	if len(faults) > 0 {
		// One cause will do: they fail together.
		return done, fmt.Errorf("%d of %d events stored: %w", done.Stored, len(letters), faults[0])
	}
	return done, nil
}
