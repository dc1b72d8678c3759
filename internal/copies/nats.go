package copies

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
)

const (
	// maxAnswers bounds the questions that are answered at once. One beyond is
	// answered with nothing: a busy owner is no reason to wait.
	maxAnswers = 64
	// attachFor is how long a consumer is used. One that delivers nothing and
	// reports no error is a real state (P18); copies are worth no more than
	// beginning anew now and then.
	attachFor = 5 * time.Minute
	// overlap is how far before the end of the last consumer the next begins,
	// for clocks that differ: what comes twice changes nothing.
	overlap = 5 * time.Second
	// forgetAfter is when the server drops a consumer that nobody uses.
	forgetAfter = time.Minute
	fetchBatch  = 64
	// heartbeat is how often the server says that a quiet consumer is there.
	heartbeat = time.Second
	// attachPause is how long after a failed attempt the next begins.
	attachPause = time.Second
)

// NATS carries a domain's copies over a connection, which it does not close.
// It is safe for concurrent use.
type NATS struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	stream   string
	prefix   string // of subjects
	breakers breakers
}

var _ node.Replicas = (*NATS)(nil)

// New returns the carrier of a domain.
func New(nc *nats.Conn, domain string) (*NATS, error) {
	if err := events.ValidateDomain(domain); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("copies of domain %q: %w", domain, err)
	}
	return &NATS{nc: nc, js: js, stream: jslog.CopyStream(domain), prefix: "tercet." + domain}, nil
}

func (n *NATS) copySubject(id events.NodeID) string  { return n.prefix + ".copy." + Token(id) }
func (n *NATS) fetchSubject(id events.NodeID) string { return n.prefix + ".fetch." + Token(id) }

// Send implements [node.Replicas]: it returns once the stream has s.
func (n *NATS) Send(ctx context.Context, to events.NodeID, s node.Shipment) error {
	_, err := n.js.Publish(ctx, n.copySubject(to), appendShipment(nil, s), jetstream.WithExpectStream(n.stream))
	if err != nil {
		return fmt.Errorf("send copies to %s: %w", to, err)
	}
	return nil
}

// Fetch implements [node.Replicas]. A node that does not answer in time a few
// times in a row is not asked for a second.
func (n *NATS) Fetch(ctx context.Context, from events.NodeID, partition int, keys []string) (node.Shipment, error) {
	if len(keys) > maxKeys {
		return node.Shipment{}, fmt.Errorf("%w question about %d keys, at most %d", events.ErrInvalid, len(keys), maxKeys)
	}
	done, err := n.breakers.of(from).Allow()
	if err != nil {
		return node.Shipment{}, fmt.Errorf("fetch from %s: %w", from, err)
	}
	m, err := n.nc.RequestWithContext(ctx, n.fetchSubject(from), appendQuestion(nil, partition, keys))
	done(err)
	if err != nil {
		return node.Shipment{}, fmt.Errorf("fetch from %s: %w", from, err)
	}
	return decodeShipment(m.Data)
}

// Listen implements [node.Replicas].
func (n *NATS) Listen(ctx context.Context, self events.NodeID, keep func(node.Shipment), answer func(context.Context, int, []string) node.Shipment) error {
	room := make(chan struct{}, maxAnswers)
	questions, err := n.nc.Subscribe(n.fetchSubject(self), func(m *nats.Msg) {
		partition, keys, err := decodeQuestion(m.Data)
		if err != nil {
			return
		}
		select {
		case room <- struct{}{}:
			go func() {
				defer func() { <-room }()
				_ = m.Respond(appendShipment(nil, answer(ctx, partition, keys))) // the asker's deadline is the remedy
			}()
		default:
			_ = m.Respond(appendShipment(nil, node.Shipment{Partition: partition}))
		}
	})
	if err != nil {
		return fmt.Errorf("listen for questions about copies: %w", err)
	}
	n.follow(ctx, self, keep)
	_ = questions.Unsubscribe() // a closed connection has ended it already
	for range maxAnswers {
		room <- struct{}{} // until the last answer is given
	}
	return ctx.Err()
}

// follow delivers the copies sent to self until ctx is done: from now on, and
// after an interruption from before it.
func (n *NATS) follow(ctx context.Context, self events.NodeID, keep func(node.Shipment)) {
	for from := time.Now(); ctx.Err() == nil; {
		began := time.Now()
		if n.attach(ctx, self, from, keep) == nil {
			from = time.Now().Add(-overlap)
		}
		if time.Since(began) < attachPause {
			select {
			case <-ctx.Done():
			case <-time.After(attachPause):
			}
		}
	}
}

// attach delivers through one consumer, until ctx is done or the consumer has
// served for long enough or failed. It returns an error if none could be made.
func (n *NATS) attach(ctx context.Context, self events.NodeID, from time.Time, keep func(node.Shipment)) error {
	ctx, cancel := context.WithTimeout(ctx, attachFor)
	defer cancel()
	c, err := n.js.CreateConsumer(ctx, n.stream, jetstream.ConsumerConfig{
		FilterSubject: n.copySubject(self),
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from,
		AckPolicy:     jetstream.AckNonePolicy, // what is lost is loaded again
		MemoryStorage: true, Replicas: 1, InactiveThreshold: forgetAfter,
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		batch, err := c.Fetch(fetchBatch, jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(heartbeat))
		if err != nil {
			return nil
		}
		for m := range batch.Messages() {
			if s, err := decodeShipment(m.Data()); err == nil && ctx.Err() == nil {
				keep(s)
			}
		}
		if batch.Error() != nil {
			return nil
		}
	}
	return nil
}
