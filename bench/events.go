package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/pkg/client"
)

// eventRounds is how often the stream is worked through by each side; the
// median counts.
const eventRounds = 3

// runEvents measures how many domain events a second one invalidator process
// with 100 rules turns into fences in a domain's log, from a stream on disk,
// beside a plain consumer that pulls and acknowledges the same stream, and
// beside Watermill's router with a handler that does nothing. Then, at 1,000
// events a second, the time from an event's publish until the last of three
// nodes has applied its fence.
func runEvents(ctx context.Context, b *bench) error {
	e, err := newEvents(ctx, b)
	if err != nil {
		return err
	}
	defer e.files.release()
	var raw, bare, ours []float64
	for round := range eventRounds {
		for _, side := range []struct {
			name string
			into *[]float64
			run  func(durable string) (float64, error)
		}{{"plain", &raw, e.consume}, {"bare", &bare, e.route}, {"ours", &ours, e.invalidate}} {
			figure, err := side.run(fmt.Sprintf("%s-%d", side.name, round))
			if err != nil {
				return err
			}
			*side.into = append(*side.into, figure)
		}
		b.say("round %d: plain consumer %.0f/s, bare router %.0f/s, invalidator %.0f/s", round+1, raw[round], bare[round], ours[round])
	}
	for _, beside := range []struct {
		name    string
		figures []float64
	}{{"a plain consumer", raw}, {"a bare Watermill router", bare}} {
		ratios := make([]float64, eventRounds)
		for i := range ratios {
			ratios[i] = ours[i] / beside.figures[i]
		}
		b.add(row{
			Name: "events to fences, 100 rules, beside " + beside.name, Unit: perSecond, Least: new(20_000.0),
			Raw: middle(beside.figures), Ours: middle(ours), Ratio: middle(ratios), RatioLow: slices.Min(ratios), RatioHigh: slices.Max(ratios), Rounds: eventRounds,
		})
	}
	p50, p99, err := e.latency()
	if err != nil {
		return err
	}
	b.add(row{Name: "p50 from published to fenced on the last of 3 nodes, 1,000 events/s", Unit: nanoseconds, Ours: float64(p50)})
	b.add(row{Name: "p99 of the same", Unit: nanoseconds, Ours: float64(p99), Most: new(float64(25 * time.Millisecond))})
	return nil
}

func middle(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}

type eventBench struct {
	ctx    context.Context
	b      *bench
	js     jetstream.JetStream
	files  owner
	binary string
	rules  string
	n      int // events in the stream
	last   uint64
}

const (
	eventDomain   = "bench-events"
	eventStream   = "EVENTS"
	eventSubjects = "events.>"
)

func newEvents(ctx context.Context, b *bench) (_ *eventBench, err error) {
	e := &eventBench{ctx: ctx, b: b, n: b.records}
	defer func() {
		if err != nil {
			e.files.release()
		}
	}()
	js, undo, err := connect(b.natsURL())
	if err != nil {
		return e, err
	}
	e.files.Cleanup(undo)
	e.js = js
	dir := e.files.TempDir()
	e.binary, e.rules = filepath.Join(dir, "invalidator"), filepath.Join(dir, "rules.yaml")
	if said, err := exec.CommandContext(ctx, "go", "build", "-C", "..", "-o", e.binary, "./cmd/invalidator").CombinedOutput(); err != nil {
		return e, fmt.Errorf("build the invalidator: %w\n%s", err, said)
	}
	var text strings.Builder
	text.WriteString("version: 1\nrules:\n")
	for n := range 100 {
		fmt.Fprintf(&text, "  - name: r%d\n    match: {type: t%d}\n    keys: [\"product:{data.id}:price\", \"product:{data.id}:page\"]\n    tags: [\"category:{data.category}\"]\n", n, n)
		if n%10 == 0 {
			text.WriteString("    when: data.price > 0\n")
		}
	}
	if err := os.WriteFile(e.rules, []byte(text.String()), 0o600); err != nil {
		return e, err
	}
	c, err := b.open(ctx, eventDomain, client.Config{}) // makes the domain
	if err != nil {
		return e, err
	}
	if err := shut(c); err != nil {
		return e, err
	}
	if _, err := e.js.CreateStream(ctx, jetstream.StreamConfig{Name: eventStream, Subjects: []string{eventSubjects}, Storage: jetstream.FileStorage}); err != nil {
		return e, err
	}
	b.say("publishing %d events", e.n)
	for n := range e.n {
		if _, err := e.js.PublishAsync(subjectOf(n), eventOf(n), jetstream.WithStallWait(10*time.Second)); err != nil {
			return e, err
		}
	}
	select {
	case <-e.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		return e, errors.New("events are not acknowledged")
	}
	s, err := e.js.Stream(ctx, eventStream)
	if err != nil {
		return e, err
	}
	if e.last = s.CachedInfo().State.LastSeq; e.last != uint64(e.n) {
		return e, fmt.Errorf("%d events in the stream, want %d", e.last, e.n)
	}
	return e, nil
}

func subjectOf(n int) string { return fmt.Sprintf("events.t%d", n%100) }

func eventOf(n int) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/shop","type":"t%d","time":"2024-01-01T00:00:00Z","datacontenttype":"application/json","data":{"id":%d,"category":"shoes","price":12.5,"name":"Trail runner"}}`, n, n%100, n)
}

func (e *eventBench) consumer(durable string) (jetstream.MessagesContext, error) {
	c, err := e.js.CreateConsumer(e.ctx, eventStream, jetstream.ConsumerConfig{
		Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 65_536,
	})
	if err != nil {
		return nil, err
	}
	return c.Messages(jetstream.PullMaxMessages(1024))
}

// consume pulls and acknowledges.
func (e *eventBench) consume(durable string) (float64, error) {
	it, err := e.consumer(durable)
	if err != nil {
		return 0, err
	}
	defer it.Stop()
	var began time.Time
	for n := range e.n {
		m, err := it.Next()
		if err != nil {
			return 0, err
		}
		if n == 0 {
			began = time.Now()
		}
		if err := m.Ack(); err != nil {
			return 0, err
		}
	}
	return e.rate(durable, began)
}

// rate waits until the server has all acknowledgements.
func (e *eventBench) rate(durable string, began time.Time) (float64, error) {
	c, err := e.js.Consumer(e.ctx, eventStream, durable)
	if err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		info, err := c.Info(e.ctx)
		if err != nil {
			return 0, err
		}
		if began.IsZero() && info.Delivered.Consumer > 0 {
			began = time.Now()
		}
		if info.AckFloor.Stream >= e.last {
			return float64(e.n) / time.Since(began).Seconds(), nil
		}
	}
	return 0, fmt.Errorf("consumer %s did not finish", durable)
}

// route is consume through Watermill's router.
func (e *eventBench) route(durable string) (float64, error) {
	it, err := e.consumer(durable)
	if err != nil {
		return 0, err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		return 0, err
	}
	sub := &iteratorSubscriber{it: it, slots: make(chan struct{}, 1024)}
	router.AddConsumerHandler("nothing", "events", sub, func(*message.Message) error { return nil })
	ctx, cancel := context.WithCancel(e.ctx)
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- router.Run(ctx) }()
	figure, err := e.rate(durable, began)
	it.Stop()
	cancel()
	return figure, errors.Join(err, <-done)
}

// iteratorSubscriber is the least that Watermill's router asks for.
type iteratorSubscriber struct {
	it    jetstream.MessagesContext
	slots chan struct{}
}

func (s *iteratorSubscriber) Close() error { return nil }

func (s *iteratorSubscriber) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			m, err := s.it.Next()
			if err != nil {
				return
			}
			s.slots <- struct{}{}
			w := message.NewMessage("", m.Data())
			out <- w
			go func() {
				<-w.Acked()
				_ = m.Ack() // one that is lost is missed at the end
				<-s.slots
			}()
		}
	}()
	return out, nil
}

// start runs an invalidator process.
func (e *eventBench) start(durable string, more ...string) (stop func(), err error) {
	cmd := exec.Command(e.binary, append([]string{
		"--domain", eventDomain, "--nats-url", e.b.natsURL(), "--rules", e.rules, "--log-level", "error",
		"--invalidator-durable", durable,
	}, more...)...)
	cmd.Stderr, cmd.Stdout = os.Stderr, io.Discard
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it has done its work
	}), nil
}

func (e *eventBench) invalidate(durable string) (float64, error) {
	// The consumer is there before the process, so that its start is not
	// counted: the clock runs from the first delivery.
	_, err := e.js.CreateConsumer(e.ctx, eventStream, jetstream.ConsumerConfig{
		Durable: durable, FilterSubjects: []string{eventSubjects}, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: 65_536,
	})
	if err != nil {
		return 0, err
	}
	stop, err := e.start(durable)
	if err != nil {
		return 0, err
	}
	defer stop()
	return e.rate(durable, time.Time{})
}
