package invalidator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// subscriber is a Watermill subscriber on a durable pull consumer that several
// processes may share. Watermill's own for JetStream does not serve here; see
// docs/adr/0010.
type subscriber struct {
	js      jetstream.JetStream
	config  Config
	work    context.Context // that of the messages, longer than Subscribe's
	log     *slog.Logger
	onReady func()
	stats   *counters
	slots   chan struct{} // one per message in flight
	running sync.WaitGroup
}

var _ message.Subscriber = (*subscriber)(nil)

func newSubscriber(js jetstream.JetStream, c Config, work context.Context, log *slog.Logger, stats *counters) *subscriber {
	return &subscriber{js: js, config: c, work: work, log: log, stats: stats, slots: make(chan struct{}, c.InFlight)}
}

// Subscribe delivers the stream's messages until ctx ends; then it closes the
// channel. The topic is the stream's name.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		s.follow(ctx, topic, out)
	})
	return out, nil
}

// Close does nothing: the subscription ends with its context, and the
// connection is not ours.
func (s *subscriber) Close() error { return nil }

// wait returns when every message has been answered.
func (s *subscriber) wait() { s.running.Wait() }

// follow keeps a consumer going through whatever may pass: a stream that is
// not there yet, a server that restarts, a consumer that was deleted.
func (s *subscriber) follow(ctx context.Context, stream string, out chan<- *message.Message) {
	const least, most = 100 * time.Millisecond, 5 * time.Second
	delay := least
	for ctx.Err() == nil {
		began := time.Now()
		err := s.consume(ctx, stream, out)
		if ctx.Err() != nil {
			return
		}
		s.log.WarnContext(ctx, "events can't be followed at the moment", "stream", stream, "error", err)
		if time.Since(began) > 2*most {
			delay = least // it worked for a while
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, most)
	}
}

// consume delivers messages until ctx ends or the consumer fails.
func (s *subscriber) consume(ctx context.Context, stream string, out chan<- *message.Message) error {
	consumer, err := s.attach(ctx, stream)
	if err != nil {
		return err
	}
	it, err := consumer.Messages(
		// What is buffered here is out of reach for other processes.
		jetstream.PullMaxMessages(s.config.InFlight),
		jetstream.PullExpiry(10*time.Second),
		jetstream.PullHeartbeat(2*time.Second),
	)
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	defer handBack(it)
	// What is buffered when the connection goes would, with all that is then
	// asked for anew, be more than the iterator has room for; what it drops
	// comes AckWait late.
	pulling, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	lost := s.js.Conn().StatusChanged(nats.RECONNECTING)
	defer s.js.Conn().RemoveStatusListener(lost)
	go func() {
		select {
		case <-lost:
			stop(errConnectionLost)
		case <-pulling.Done():
		}
	}()
	if s.onReady != nil {
		s.onReady()
		s.onReady = nil
	}
	for {
		msg, err := it.Next(jetstream.NextContext(pulling))
		if err != nil {
			return fmt.Errorf("next: %w", cmp.Or(context.Cause(pulling), err))
		}
		if !s.deliver(pulling, msg, out) {
			return context.Cause(pulling)
		}
	}
}

var errConnectionLost = errors.New("the connection to NATS is lost")

// attach returns the shared consumer, made if it is missing.
func (s *subscriber) attach(ctx context.Context, stream string) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := s.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:        s.config.Durable,
		FilterSubjects: s.config.Subjects,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        s.config.AckWait,
		MaxDeliver:     -1, // giving up would lose an invalidation
		MaxAckPending:  maxAckPending,
	})
	if err != nil {
		return nil, fmt.Errorf("attach consumer %q: %w", s.config.Durable, err)
	}
	return c, nil
}

// maxAckPending bounds the messages in flight of all processes together. Each
// bounds itself by InFlight; this is for many of them.
const maxAckPending = 65_536

// handBack returns what was buffered, so that another process has it now and
// not after AckWait.
func handBack(it jetstream.MessagesContext) {
	it.Drain()
	for {
		msg, err := it.Next(jetstream.NextMaxWait(time.Second))
		if err != nil {
			return // closed, or out of reach: then AckWait brings the rest back
		}
		_ = msg.Nak()
	}
}

// deliver hands one message to the router; false means that ctx ended.
func (s *subscriber) deliver(ctx context.Context, msg jetstream.Msg, out chan<- *message.Message) bool {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		_ = msg.Nak()
		return false
	}
	m, d, err := s.convert(msg, sync.OnceFunc(func() { <-s.slots }))
	if err != nil {
		// Not a message of JetStream's; nothing can be acknowledged.
		s.log.ErrorContext(ctx, "message without metadata", "subject", msg.Subject(), "error", err)
		<-s.slots
		return true
	}
	s.stats.received.Add(1)
	if d.delivered > 1 {
		s.stats.redelivered.Add(1)
	}
	select {
	case out <- m:
	case <-ctx.Done():
		_ = msg.Nak()
		<-s.slots
		return false
	}
	s.running.Go(func() {
		s.answer(m, d, msg)
		d.leave()
	})
	return true
}

func (s *subscriber) convert(msg jetstream.Msg, leave func()) (*message.Message, delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, delivery{}, err
	}
	d := delivery{
		subject: msg.Subject(), stream: meta.Stream, sequence: meta.Sequence.Stream,
		delivered: meta.NumDelivered, time: meta.Timestamp, leave: leave,
	}
	m := message.NewMessage(fmt.Sprintf("%s/%d", d.stream, d.sequence), msg.Data())
	for name, values := range nats.Header(msg.Headers()) {
		if len(values) > 0 {
			m.Metadata[name] = values[0]
		}
	}
	m.SetContext(context.WithValue(s.work, deliveryKey{}, d))
	return m, d, nil
}

// answer waits for the router's verdict and passes it on. Meanwhile it tells
// the stream that work goes on: an event that waits for its log is not to be
// processed twice at a time.
func (s *subscriber) answer(m *message.Message, d delivery, msg jetstream.Msg) {
	busy := time.NewTicker(s.config.AckWait / 2)
	defer busy.Stop()
	for {
		select {
		case <-m.Acked():
			// Asynchronous: an acknowledgement that is lost means a duplicate,
			// which changes nothing.
			if err := msg.Ack(); err == nil {
				s.stats.acknowledged.Add(1)
			}
			return
		case <-m.Nacked():
			s.stats.returned.Add(1)
			_ = msg.NakWithDelay(backoff(d.delivered))
			return
		case <-busy.C:
			_ = msg.InProgress()
		}
	}
}

// backoff is the delay before the next delivery after n of them: 1 s, 2 s, 4 s,
// up to 30 s.
func backoff(n uint64) time.Duration {
	const most = 30 * time.Second
	if n > 5 {
		return most
	}
	return min(most, time.Second<<(max(n, 1)-1))
}
