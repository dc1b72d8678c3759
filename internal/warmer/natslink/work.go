package natslink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/zeebo/xxh3"

	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/warmer"
	"github.com/raptorflow/tercet/internal/warmer/wire"
	"github.com/raptorflow/tercet/internal/warmer/worker"
)

// LoadSubject returns the subject of a domain's requests to load keys.
func LoadSubject(domain string) string { return "tercet." + domain + ".work.load" }

// Consumer settings, one for all workers of a domain.
const (
	// LoadConsumer is the durable consumer that all workers share.
	LoadConsumer = "load"
	// AckWait is how long a worker may be silent about a request before
	// another gets it. Longer than any load may take.
	AckWait = 30 * time.Second
	// MaxDeliver is how often a request is delivered at most. Processes
	// without a loader for a key use deliveries up.
	MaxDeliver = 16
	// MaxAckPending is how many requests a whole fleet works on at a time.
	MaxAckPending = 1024
	// fetchWait is how long one fetch waits for the first request.
	fetchWait = 5 * time.Second
)

// Work is a domain's queue of requests. It is safe for concurrent use.
type Work struct {
	js     jetstream.JetStream
	domain string

	mu       sync.Mutex // guards consumer
	consumer jetstream.Consumer
}

var (
	_ warmer.Queue  = (*Work)(nil)
	_ worker.Source = (*Work)(nil)
)

// NewWork returns the domain's queue over nc, which stays the caller's.
func NewWork(nc *nats.Conn, domain string) (*Work, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("work queue of domain %q: %w", domain, err)
	}
	return &Work{js: js, domain: domain}, nil
}

// Push implements [warmer.Queue]. Requests for the same keys and fence are one
// request within the server's duplicate window, whoever sends them.
func (w *Work) Push(ctx context.Context, q wire.Request) error {
	data, err := q.Append(nil)
	if err != nil {
		return err
	}
	h := xxh3.New()
	for _, k := range q.Keys {
		fmt.Fprintf(h, "%d:%s", len(k), k)
	}
	id := fmt.Sprintf("load-%016x-%d", h.Sum64(), q.Position)
	_, err = w.js.Publish(ctx, LoadSubject(w.domain), data,
		jetstream.WithMsgID(id), jetstream.WithExpectStream(jslog.WorkStream(w.domain)))
	if err != nil {
		return fmt.Errorf("queue a request of domain %q: %w", w.domain, err)
	}
	return nil
}

// Fetch implements [worker.Source].
func (w *Work) Fetch(ctx context.Context, most int, fn func(worker.Delivery)) error {
	c, err := w.attach(ctx)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	batch, err := c.Fetch(most, jetstream.FetchContext(wait))
	if err != nil {
		w.detach()
		return fmt.Errorf("fetch requests of domain %q: %w", w.domain, err)
	}
	for m := range batch.Messages() {
		fn(newDelivery(m))
	}
	if err := batch.Error(); err != nil && wait.Err() == nil && !errors.Is(err, nats.ErrTimeout) {
		// The consumer may be gone with its stream; the next fetch looks.
		w.detach()
		return fmt.Errorf("fetch requests of domain %q: %w", w.domain, err)
	}
	return nil
}

// attach finds the shared consumer, or makes it.
func (w *Work) attach(ctx context.Context) (jetstream.Consumer, error) {
	w.mu.Lock()
	c := w.consumer
	w.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := w.js.CreateOrUpdateConsumer(ctx, jslog.WorkStream(w.domain), jetstream.ConsumerConfig{
		Durable:       LoadConsumer,
		FilterSubject: LoadSubject(w.domain),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		MaxDeliver:    MaxDeliver,
		MaxAckPending: MaxAckPending,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer of requests of domain %q: %w", w.domain, err)
	}
	w.mu.Lock()
	w.consumer = c
	w.mu.Unlock()
	return c, nil
}

func (w *Work) detach() {
	w.mu.Lock()
	w.consumer = nil
	w.mu.Unlock()
}

// delivery is one message of the queue.
type delivery struct {
	m    jetstream.Msg
	last bool
}

func newDelivery(m jetstream.Msg) *delivery {
	d := &delivery{m: m}
	if meta, err := m.Metadata(); err == nil {
		d.last = meta.NumDelivered >= MaxDeliver
	}
	return d
}

func (d *delivery) Data() []byte { return d.m.Data() }
func (d *delivery) Last() bool   { return d.last }
func (d *delivery) Done() error  { return d.m.Ack() }

func (d *delivery) Again(delay time.Duration) error {
	if delay <= 0 {
		return d.m.Nak()
	}
	return d.m.NakWithDelay(delay)
}
