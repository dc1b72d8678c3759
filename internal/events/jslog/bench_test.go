package jslog_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
)

// BenchmarkDelivery measures publish-until-delivered beside a raw consumer of
// the same stream in the same process, in turns, and reports the ratio of the
// medians as x-raw.
func BenchmarkDelivery(b *testing.B) {
	f, js := benchFixture(b)
	ours, theirs := make(chan time.Time, 1024), make(chan time.Time, 1024)
	following, stop := context.WithCancel(b.Context())
	var follower sync.WaitGroup
	defer follower.Wait()
	defer stop()
	follower.Go(func() {
		_ = f.Log(0).Follow(following, events.Mark{}, func(batch []events.Delivery) error {
			now := time.Now()
			for range batch {
				ours <- now
			}
			return nil
		})
	})
	<-ours
	raw, err := js.OrderedConsumer(b.Context(), jslog.LogStream(domain, 0), jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	consuming, err := raw.Consume(func(jetstream.Msg) { theirs <- time.Now() })
	if err != nil {
		b.Fatal(err)
	}
	defer consuming.Stop()
	<-theirs
	var us, them []time.Duration
	data := make([]byte, 200)
	for i := range b.N {
		began := time.Now()
		if i%2 == 0 {
			if _, err := f.Log(0).Publish(b.Context(), events.ID{Counter: uint64(i + 1)}, data); err != nil {
				b.Fatal(err)
			}
		} else if _, err := js.Publish(b.Context(), jslog.LogSubject(domain, 0), data); err != nil {
			b.Fatal(err)
		}
		o, r := (<-ours).Sub(began), (<-theirs).Sub(began)
		us, them = append(us, o), append(them, r)
	}
	b.ReportMetric(float64(median(us).Microseconds()), "µs-ours")
	b.ReportMetric(float64(median(them).Microseconds()), "µs-raw")
	b.ReportMetric(float64(median(us))/float64(median(them)), "x-raw")
}

// BenchmarkReplay reads a backlog, in turns with a raw Consume at the same
// window, and reports the ratio of the medians of the rates as x-raw.
func BenchmarkReplay(b *testing.B) {
	f, js := benchFixture(b)
	const n = 50_000
	data := make([]byte, 200)
	for i := range n {
		if _, err := js.PublishAsync(jslog.LogSubject(domain, 0), data,
			jetstream.WithMsgID(events.ID{Counter: uint64(i + 1)}.String())); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	var us, them []time.Duration
	for range b.N {
		began := time.Now()
		got := 0
		enough := fmt.Errorf("enough")
		if err := f.Log(0).Follow(b.Context(), events.Mark{}, func(batch []events.Delivery) error {
			if got += len(batch); got >= n {
				return enough
			}
			return nil
		}); err != enough {
			b.Fatal(err)
		}
		us = append(us, time.Since(began))

		began = time.Now()
		c, err := js.CreateConsumer(b.Context(), jslog.LogStream(domain, 0), jetstream.ConsumerConfig{
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
		})
		if err != nil {
			b.Fatal(err)
		}
		seen, done := 0, make(chan struct{})
		consuming, err := c.Consume(func(jetstream.Msg) {
			if seen++; seen == n {
				close(done)
			}
		}, jetstream.PullMaxMessages(2048))
		if err != nil {
			b.Fatal(err)
		}
		<-done
		them = append(them, time.Since(began))
		consuming.Stop()
	}
	b.ReportMetric(n/median(us).Seconds(), "records/s-ours")
	b.ReportMetric(n/median(them).Seconds(), "records/s-raw")
	b.ReportMetric(float64(median(them))/float64(median(us)), "x-raw")
}

// BenchmarkPublish measures one record until it is acknowledged, in turns with
// a raw publish.
func BenchmarkPublish(b *testing.B) {
	f, js := benchFixture(b)
	var us, them []time.Duration
	data := make([]byte, 200)
	for i := range b.N {
		began := time.Now()
		if _, err := f.Log(0).Publish(b.Context(), events.ID{Counter: uint64(i + 1)}, data); err != nil {
			b.Fatal(err)
		}
		us = append(us, time.Since(began))
		began = time.Now()
		if _, err := js.Publish(b.Context(), jslog.LogSubject(domain, 0), data); err != nil {
			b.Fatal(err)
		}
		them = append(them, time.Since(began))
	}
	b.ReportMetric(float64(median(us).Microseconds()), "µs-ours")
	b.ReportMetric(float64(median(them).Microseconds()), "µs-raw")
	b.ReportMetric(float64(median(us))/float64(median(them)), "x-raw")
}

func benchFixture(b *testing.B) (*jslog.Domain, jetstream.JetStream) {
	b.Helper()
	f := newFixture(b)
	return f.domain, f.js(b)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
