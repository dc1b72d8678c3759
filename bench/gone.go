package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
)

// members is the size of the fleet that must have let go.
const members = 3

// runGone measures the time from the call of Invalidate until the last of
// three nodes has applied it, so that its copy is gone in every tier, beside
// the time from a publish until the last of three plain consumers has its
// callback. Each node and each consumer has a connection of its own.
func runGone(ctx context.Context, b *bench) error {
	raw, err := newConsumers(ctx, b)
	if err != nil {
		return err
	}
	defer raw.close()
	fleet, err := newFleet(ctx, b)
	if err != nil {
		return err
	}
	defer fleet.close()
	ours := medians(fleet.invalidate)
	p, err := b.pairing().run(ctx, medians(raw.publish), func(d time.Duration) (float64, error) {
		if err := fleet.cache(ctx); err != nil {
			return 0, err
		}
		figure, err := ours(d)
		return figure, errors.Join(err, fleet.verify(ctx))
	})
	if err != nil {
		return err
	}
	b.add(row{Name: "p50 until gone on the last of 3 nodes", Unit: nanoseconds, Target: 1.4, Aim: 1.15}.of(p))
	return nil
}

// arrival is a record's at one node or consumer.
type arrival struct {
	who int
	at  uint64
	now time.Time
}

// last waits until everyone has seen position at, and returns when the last
// one did.
func last(ctx context.Context, seen <-chan arrival, at uint64) (time.Time, error) {
	var latest time.Time
	var done [members]bool
	for left := members; left > 0; {
		select {
		case a := <-seen:
			if a.at >= at && !done[a.who] {
				done[a.who] = true
				left--
				latest = a.now
			}
		case <-ctx.Done():
			return latest, ctx.Err()
		case <-time.After(10 * time.Second):
			return latest, fmt.Errorf("position %d did not arrive at %d of %d within 10 s", at, left, members)
		}
	}
	return latest, nil
}

// consumers are three plain consumers of a stream.
type consumers struct {
	ctx     context.Context
	js      jetstream.JetStream
	subject string
	seen    chan arrival
	undo    owner
	data    []byte
}

func newConsumers(ctx context.Context, b *bench) (_ *consumers, err error) {
	c := &consumers{ctx: ctx, subject: "bench.gone", seen: make(chan arrival, 4096)}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	// As large as the fleet's record.
	c.data, err = events.AppendRecord(nil, events.Record{Changes: []events.Change{
		&events.Invalidate{Scope: events.Scope{Keys: []string{prefix + "10000000"}}},
	}})
	if err != nil {
		return c, err
	}
	for who := range members {
		js, undo, err := connect(b.natsURL())
		if err != nil {
			return c, err
		}
		c.undo.Cleanup(undo)
		if who == 0 {
			c.js = js
		}
		stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "BENCH_GONE", Subjects: []string{c.subject}})
		if err != nil {
			return c, err
		}
		consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
		})
		if err != nil {
			return c, err
		}
		var at uint64
		consuming, err := consumer.Consume(func(jetstream.Msg) {
			at++
			c.seen <- arrival{who: who, at: at, now: time.Now()}
		})
		if err != nil {
			return c, err
		}
		c.undo.Cleanup(consuming.Stop)
	}
	return c, nil
}

// publish publishes one message and returns after how long the last consumer
// had it.
func (c *consumers) publish() (time.Duration, error) {
	began := time.Now()
	ack, err := c.js.Publish(c.ctx, c.subject, c.data)
	if err != nil {
		return 0, err
	}
	arrived, err := last(c.ctx, c.seen, ack.Sequence)
	return arrived.Sub(began), err
}

func (c *consumers) close() { c.undo.release() }

// connect connects to NATS; undo closes.
func connect(url string) (js jetstream.JetStream, undo func(), err error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	js, err = jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return js, nc.Close, nil
}

// fleet is three nodes with copies of the same keys in memory and on disk.
type fleet struct {
	ctx   context.Context
	nodes []*client.Client
	seen  chan arrival
	files owner
	d     *data
	next  int // the key to invalidate
}

func newFleet(ctx context.Context, b *bench) (*fleet, error) {
	f := &fleet{ctx: ctx, seen: make(chan arrival, 4096), d: newData(512, 100)}
	for who := range members {
		c, err := b.open(ctx, "bench-gone", client.Config{
			DataDir: f.files.TempDir(),
			OnApply: func(_ int, m events.Mark, _ []events.Change) {
				f.seen <- arrival{who: who, at: uint64(m.Position), now: time.Now()}
			},
		})
		if err != nil {
			f.close()
			return nil, err
		}
		f.nodes = append(f.nodes, c)
	}
	return f, nil
}

// cache puts copies of all keys back into every node.
func (f *fleet) cache(ctx context.Context) error {
	for _, c := range f.nodes {
		if err := fill(ctx, c, f.d); err != nil {
			return err
		}
	}
	f.next = 0
	return nil
}

// invalidate invalidates the next key and returns after how long the last node
// had applied it. After the last key it begins anew.
func (f *fleet) invalidate() (time.Duration, error) {
	key := f.d.keys[f.next%len(f.d.keys)]
	f.next++
	began := time.Now()
	t, err := f.nodes[0].Invalidate(f.ctx, client.Invalidation{Keys: []string{key}})
	if err != nil {
		return 0, err
	}
	arrived, err := last(f.ctx, f.seen, uint64(t.At(0).Position))
	return arrived.Sub(began), err
}

// verify reads what was invalidated, and one key that was not, on every node.
func (f *fleet) verify(ctx context.Context) error {
	for i, key := range f.d.keys {
		gone := i < f.next
		for who, c := range f.nodes {
			v, err := c.Get(ctx, key)
			switch {
			case gone && !errors.Is(err, client.ErrNotFound):
				return fmt.Errorf("node %d still serves %q after it was invalidated: %v", who, key, err)
			case !gone && (err != nil || !f.d.right(i, v.Bytes)):
				return errors.Join(err, wrong("tercet", key, v.Bytes))
			}
		}
		if !gone {
			break
		}
	}
	return nil
}

func (f *fleet) close() error {
	err := shut(f.nodes...)
	f.files.release()
	return err
}
