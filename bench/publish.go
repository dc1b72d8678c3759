package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/pkg/client"
)

// writers is how many write at once where group commit is measured.
const writers = 64

// runPublish measures a write, which returns once it is in the log and applied
// on this node, beside a JetStream publish, which returns once it is
// acknowledged; then 64 of each at once.
func runPublish(ctx context.Context, b *bench) error {
	var files owner
	defer files.release()
	const domain = "bench-publish"
	c, err := b.open(ctx, domain, client.Config{DataDir: files.TempDir()})
	if err != nil {
		return err
	}
	defer shut(c)
	d := newData(10_000, 100)
	raw, err := newPublisher(ctx, b)
	if err != nil {
		return err
	}
	defer raw.undo()

	at := cursor{n: len(d.keys)}
	invalidate := func() error {
		_, err := c.Invalidate(ctx, client.Invalidation{Keys: []string{d.keys[at.next()]}})
		return err
	}
	set := func() error {
		i := at.next()
		if _, err := c.Set(ctx, d.keys[i], d.value(i)); err != nil {
			return err
		}
		if v, err := c.Get(ctx, d.keys[i]); err != nil || !d.right(i, v.Bytes) {
			return wrong("tercet", d.keys[i], v.Bytes)
		}
		return nil
	}
	for _, x := range []struct {
		name string
		op   func() error
	}{{"Invalidate, logged and applied, p50", invalidate}, {"Set, logged and applied, then Get, p50", set}} {
		p, err := b.pairing().run(ctx, medians(timed(raw.publish)), medians(timed(x.op)))
		if err != nil {
			return err
		}
		b.add(row{Name: x.name, Unit: nanoseconds}.of(p))
	}

	var many atomic.Int64
	var changes int64
	before, err := end(ctx, raw.js, domain)
	if err != nil {
		return err
	}
	p, err := b.pairing().run(ctx, rate(writers, func(int) error { return raw.publish() }), rate(writers, func(int) error {
		_, err := c.Invalidate(ctx, client.Invalidation{Keys: []string{d.keys[int(many.Add(1))%len(d.keys)]}})
		return err
	}))
	if err != nil {
		return err
	}
	changes = many.Load()
	after, err := end(ctx, raw.js, domain)
	if err != nil {
		return err
	}
	b.add(row{Name: "invalidations by 64 writers at once", Unit: perSecond}.of(p))
	b.add(row{Name: "changes to a record of the log, 64 writers", Unit: count, Ours: float64(changes) / float64(after-before)})
	return nil
}

// rate returns [callers]'s side with its figure turned over: calls a second.
func rate(n int, op func(caller int) error) side {
	work := callers(n, op)
	return func(d time.Duration) (float64, error) {
		each, err := work(d)
		return float64(time.Second) / each, err
	}
}

// end returns the last position of a domain's log.
func end(ctx context.Context, js jetstream.JetStream, domain string) (uint64, error) {
	s, err := js.Stream(ctx, jslog.LogStream(domain, 0))
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

// publisher publishes to a stream of its own, a record as large as that of an
// invalidation of one key.
type publisher struct {
	ctx  context.Context
	js   jetstream.JetStream
	undo func()
	data []byte
}

const publishSubject = "bench.publish"

func newPublisher(ctx context.Context, b *bench) (*publisher, error) {
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{
		&events.Invalidate{Scope: events.Scope{Keys: []string{prefix + "10000000"}}},
	}})
	if err != nil {
		return nil, err
	}
	js, undo, err := connect(b.natsURL())
	if err != nil {
		return nil, err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "BENCH_PUBLISH", Subjects: []string{publishSubject}}); err != nil {
		undo()
		return nil, err
	}
	return &publisher{ctx: ctx, js: js, undo: undo, data: data}, nil
}

func (p *publisher) publish() error {
	_, err := p.js.Publish(p.ctx, publishSubject, p.data)
	return err
}
