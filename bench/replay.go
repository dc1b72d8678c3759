package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/pkg/client"
)

const (
	replayDomain = "bench-replay"
	// replayBatch is how much a node asks the server for at once; the raw
	// consumer does the same.
	replayBatch = 2048
	// replayRounds is fewer than other rows have: a round lasts seconds.
	replayRounds = 7
)

// runReplay measures how fast a node with an empty disk catches up with a log
// of Puts and invalidations, its disk included, beside a plain consumer that
// throws everything away.
func runReplay(ctx context.Context, b *bench) error {
	var files owner
	defer files.release()
	// The domain's maker leaves again: its pulses stay in the log.
	c, err := b.open(ctx, replayDomain, client.Config{})
	if err != nil {
		return err
	}
	if err := shut(c); err != nil {
		return err
	}
	js, undo, err := connect(b.natsURL())
	if err != nil {
		return err
	}
	defer undo()
	l := replayLog{b: b, js: js, d: newData(max(b.records/4, 1000), 150), domain: replayDomain}
	if err := l.write(ctx, b.records); err != nil {
		return err
	}
	b.say("%d records are in the log", l.last)

	rounds := pairing{rounds: min(replayRounds, b.rounds), slice: b.slice}
	p, err := rounds.run(ctx, l.consume(ctx), l.follow(ctx))
	if err != nil {
		return err
	}
	b.add(row{Name: fmt.Sprintf("%d records of 70 %% Put, 30 %% Invalidate, 150 B", l.last), Unit: perSecond, Target: 0.65, Aim: 0.8}.of(p))
	for _, own := range []struct {
		name string
		side side
	}{{"the same read and counted by the tool", l.tool(ctx)}, {"the same applied by a scratch node", l.scratch(ctx)}} {
		if p, err = rounds.run(ctx, l.consume(ctx), own.side); err != nil {
			return err
		}
		b.add(row{Name: own.name, Unit: perSecond, Target: 0.65, Aim: 0.8}.of(p))
	}
	return nil
}

// replayLog is a log to catch up with.
type replayLog struct {
	b    *bench
	js   jetstream.JetStream
	d    *data
	last uint64
	// domain is whose log it is.
	domain string
	// puts and fences are the keys of the last of each kind.
	lastPut, lastFenced int
}

// write publishes n records of one change each.
func (l *replayLog) write(ctx context.Context, n int) error {
	publisher, err := events.NewIncarnation(rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	for i := range n {
		key, put := l.change(i)
		var change events.Change = &events.Invalidate{Scope: events.Scope{Keys: []string{l.d.keys[key]}}}
		l.lastFenced = key
		if put {
			l.lastPut, l.lastFenced = key, -1
			h := tiers.Header{Key: l.d.keys[key], Created: now, Expiry: now.Add(12 * time.Hour)}
			e, err := tiers.Append(nil, &h, l.d.value(key))
			if err != nil {
				return err
			}
			change = &events.Put{Key: h.Key, Entry: e}
		}
		data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{change}})
		if err != nil {
			return err
		}
		id := events.ID{Publisher: publisher, Counter: uint64(i + 1)}
		if _, err := l.js.PublishAsync(jslog.LogSubject(l.domain, 0), data, jetstream.WithMsgID(id.String()), jetstream.WithStallWait(10*time.Second)); err != nil {
			return err
		}
	}
	select {
	case <-l.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	s, err := l.js.Stream(ctx, jslog.LogStream(l.domain, 0))
	if err != nil {
		return err
	}
	l.last = s.CachedInfo().State.LastSeq
	if l.last < uint64(n) {
		return fmt.Errorf("%d of %d records landed", l.last, n)
	}
	return nil
}

// change returns what record i is about, and whether it puts the key's value
// rather than invalidating it.
func (l *replayLog) change(i int) (key int, put bool) {
	return int(uint32(i)*2654435761) % len(l.d.keys), i%10 < 7
}

// fenced returns the keys that n records leave without a value.
func (l *replayLog) fenced(n int) map[int]bool {
	keys := make(map[int]bool)
	for i := range n {
		if key, put := l.change(i); put {
			delete(keys, key)
		} else {
			keys[key] = true
		}
	}
	return keys
}

// race takes the time from the first record to the last.
type race struct {
	first, last time.Time
	from, to    uint64
	done        chan struct{}
	over        atomic.Bool
}

func (r *race) saw(position uint64) {
	if r.from == 0 {
		r.first, r.from = time.Now(), position
	}
	if position >= r.to && !r.over.Swap(true) {
		r.last = time.Now()
		close(r.done)
	}
}

func (r *race) rate(ctx context.Context) (float64, error) {
	select {
	case <-r.done:
		return float64(r.to-r.from) / r.last.Sub(r.first).Seconds(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(2 * time.Minute):
		return 0, errors.New("replay did not end within 2 minutes")
	}
}

func (l *replayLog) consume(ctx context.Context) side {
	return func(time.Duration) (float64, error) {
		c, err := l.js.CreateConsumer(ctx, jslog.LogStream(l.domain, 0), jetstream.ConsumerConfig{
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
		})
		if err != nil {
			return 0, err
		}
		r := race{to: l.last, done: make(chan struct{})}
		var at uint64
		consuming, err := c.Consume(func(jetstream.Msg) {
			at++
			r.saw(at)
		}, jetstream.PullMaxMessages(replayBatch))
		if err != nil {
			return 0, err
		}
		defer consuming.Stop()
		return r.rate(ctx)
	}
}

func (l *replayLog) follow(ctx context.Context) side {
	return func(time.Duration) (float64, error) {
		var files owner
		defer files.release()
		r := race{to: l.last, done: make(chan struct{})}
		c, err := l.b.open(ctx, replayDomain, client.Config{
			DataDir: files.TempDir(),
			OnApply: func(_ int, m events.Mark, _ []events.Change) { r.saw(uint64(m.Position)) },
		})
		if err != nil {
			return 0, err
		}
		rate, err := r.rate(ctx)
		return rate, errors.Join(err, l.verify(ctx, c), shut(c))
	}
}

// verify reads what the last records of each kind said.
func (l *replayLog) verify(ctx context.Context, c *client.Client) error {
	key := l.d.keys[l.lastPut]
	if v, err := c.Get(ctx, key); err != nil || !l.d.right(l.lastPut, v.Bytes) {
		return errors.Join(err, wrong("tercet", key, v.Bytes))
	}
	if l.lastFenced >= 0 {
		if _, err := c.Get(ctx, l.d.keys[l.lastFenced]); !errors.Is(err, client.ErrNotFound) {
			return fmt.Errorf("key %q is there after a replay that ends with its fence: %v", l.d.keys[l.lastFenced], err)
		}
	}
	return nil
}
