package invalidator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/test/process"
)

// hundredRules has one rule per type t0 to t99, every tenth with a condition.
func hundredRules(b *testing.B) *rules.Set {
	b.Helper()
	var text strings.Builder
	text.WriteString("domains: [shop]\nrules:\n")
	for n := range 100 {
		fmt.Fprintf(&text, "  - name: r%d\n    match: {type: t%d}\n    keys: [\"product:{data.id}:price\", \"product:{data.id}:page\"]\n    tags: [\"category:{data.category}\"]\n", n, n)
		if n%10 == 0 {
			text.WriteString("    when: data.price > 0\n")
		}
	}
	set, err := rules.Parse("bench.yaml", []byte(text.String()), rules.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return set
}

func benchEvent(n int) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/shop","type":"t%d","time":"2024-01-01T00:00:00Z","datacontenttype":"application/json","data":{"id":%d,"category":"shoes","price":12.5,"name":"Trail runner"}}`, n, n%100, n)
}

// BenchmarkDecodeAndEvaluate is the pure part: one event, 100 rules.
func BenchmarkDecodeAndEvaluate(b *testing.B) {
	set, body := hundredRules(b), benchEvent(7)
	b.ReportAllocs()
	for b.Loop() {
		all, err := domainevent.Decode(domainevent.Message{ID: "m", Channel: "events.t", Body: body}, domainevent.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := set.Evaluate(all[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// gatherer stands for a log with group commit: a fence takes about as long as
// an acknowledged publish.
type gatherer struct{}

func (gatherer) Fence(context.Context, string, ...*events.Invalidate) error {
	<-time.After(time.Millisecond)
	return nil
}

// BenchmarkEvents is the whole way from a file-backed stream to acknowledged.
// Beside it, BenchmarkRawConsumer only pulls and acknowledges.
func BenchmarkEvents(b *testing.B) {
	js := filledStream(b)
	i, err := invalidator.New(invalidator.Deps{JetStream: js, Fencer: gatherer{}, Rules: hundredRules(b)}, invalidator.Config{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- i.Run(ctx) }()
	for i.Stats().Acknowledged < uint64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRawConsumer(b *testing.B) {
	js := filledStream(b)
	c, err := js.CreateConsumer(b.Context(), invalidator.DefaultStream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	it, err := c.Messages(jetstream.PullMaxMessages(1024))
	if err != nil {
		b.Fatal(err)
	}
	defer it.Stop()
	for range b.N {
		m, err := it.Next()
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Ack(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func filledStream(b *testing.B) jetstream.JetStream {
	b.Helper()
	nc, err := nats.Connect(process.NATS(b).URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		b.Fatal(err)
	}
	if err := invalidator.EnsureStreams(b.Context(), js, invalidator.StreamOptions{}); err != nil {
		b.Fatal(err)
	}
	for n := range b.N {
		if _, err := js.PublishAsync(fmt.Sprintf("events.t%d", n%100), benchEvent(n), jetstream.WithStallWait(10*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	return js
}
