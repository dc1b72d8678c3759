package jslog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

const (
	// reattachMin and reattachMax bound the pause before a follower attaches
	// again after a failure.
	reattachMin = 20 * time.Millisecond
	reattachMax = time.Second
	// apiWait bounds one question to JetStream.
	apiWait = 5 * time.Second
	// shortReadings is how many readings in a row, shortPause apart, must say
	// that the log ends before our place until it counts as shortened: a new
	// leader may answer before it applied what it has.
	shortReadings = 3
	shortPause    = 250 * time.Millisecond
)

// Follow implements [events.Log].
func (p *partition) Follow(ctx context.Context, from events.Mark, sink events.Sink) error {
	return p.follow(ctx, events.NewContinuity(from), sink)
}

// Read implements [events.Log].
func (p *partition) Read(ctx context.Context, first, last events.Position, sink events.Sink) error {
	return events.ReadBy(first, last, sink, func(c *events.Continuity, sink events.Sink) error {
		return p.follow(ctx, c, sink)
	})
}

func (p *partition) follow(ctx context.Context, continuity *events.Continuity, sink events.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(p.closed, cancel)
	defer stop()
	f := &follower{p: p, continuity: continuity, sink: sink}
	pause := reattachMin
	for {
		before := f.continuity.Last()
		err := f.session(ctx)
		var end *endError
		switch {
		case p.closed.Err() != nil:
			return events.ErrClosed
		case errors.As(err, &end):
			return end.cause
		case ctx.Err() != nil:
			return ctx.Err()
		case p.nc.IsClosed():
			return fmt.Errorf("%w: %w", events.ErrClosed, nats.ErrConnectionClosed)
		}
		if f.continuity.Last() != before {
			pause = reattachMin
		}
		// A fleet that lost its server must not come back in one instant.
		if err := sleep(ctx, pause/2+rand.N(pause)); err == nil {
			pause = min(2*pause, reattachMax)
		}
	}
}

// endError ends a Follow for good, with cause.
type endError struct{ cause error }

func (e *endError) Error() string { return e.cause.Error() }

// follower is one call of Follow.
type follower struct {
	p          *partition
	continuity *events.Continuity
	sink       events.Sink
	batch      []events.Delivery
}

// session attaches a consumer of its own and delivers from it until something
// ends it. An *endError is for the caller of Follow; everything else passes.
func (f *follower) session(ctx context.Context) error {
	name, err := f.attach(ctx)
	if err != nil {
		return err
	}
	defer f.abandon(name)
	pull, err := newPull(f.p.nc, f.p.want.Name, name)
	if err != nil {
		return err
	}
	defer pull.stop()
	return f.deliver(ctx, pull)
}

// attach makes a consumer that begins at the last delivered record and checks
// that the log continues what was delivered.
func (f *follower) attach(ctx context.Context) (string, error) {
	ask, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	c := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		ReplayPolicy:      jetstream.ReplayInstantPolicy,
		InactiveThreshold: 30 * time.Second,
		MemoryStorage:     true,
		Replicas:          1,
	}
	if at := f.continuity.Start(); at > 0 {
		c.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		c.OptStartSeq = uint64(at)
	}
	consumer, err := f.p.js.CreateConsumer(ask, f.p.want.Name, c)
	if err != nil {
		return "", fmt.Errorf("attach to stream %s: %w", f.p.want.Name, err)
	}
	name := consumer.CachedInfo().Name
	// Read after the consumer was made: a stream that is deleted later takes
	// the consumer with it.
	if err := f.judge(ctx); err != nil {
		f.abandon(name)
		return "", err
	}
	return name, nil
}

// judge compares the stream as its leader knows it with what was delivered.
func (f *follower) judge(ctx context.Context) error {
	for reading := 1; ; reading++ {
		info, err := f.p.info(ctx)
		if err != nil {
			return err
		}
		if err := f.p.verify(info.Config); err != nil {
			return &endError{err}
		}
		err = f.continuity.Attach(events.Position(info.State.FirstSeq), events.Position(info.State.LastSeq))
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, events.ErrHistoryChanged) || reading == shortReadings:
			return &endError{err}
		}
		if err := sleep(ctx, shortPause); err != nil {
			return err
		}
	}
}

// deliver passes on what comes until the consumer fails, the log's history
// breaks, or ctx ends.
func (f *follower) deliver(ctx context.Context, pull *pull) error {
	for {
		messages, err := pull.next(ctx)
		if errors.Is(err, errIdle) {
			if err := f.checkIdle(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		f.batch = f.batch[:0]
		var broken error
		for _, m := range messages {
			d, ok := delivery(m)
			if !ok {
				broken = fmt.Errorf("stream %s delivers without a position: reply %q", f.p.want.Name, m.Reply)
				break
			}
			fresh, err := f.continuity.Observe(d.Mark)
			if err != nil {
				broken = err
				if !f.continuity.Doubtful(err) {
					broken = &endError{err}
				}
				break
			}
			if fresh {
				f.batch = append(f.batch, d)
			}
		}
		if len(f.batch) > 0 {
			if err := f.sink(f.batch); err != nil {
				return &endError{err}
			}
		}
		if broken != nil {
			return broken
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// checkIdle looks at the stream while nothing comes: a consumer may be left
// behind without any sign of it, and a log may have been cut short below it.
func (f *follower) checkIdle(ctx context.Context) error {
	info, err := f.p.info(ctx)
	if err != nil {
		return err
	}
	if err := f.p.verify(info.Config); err != nil {
		return &endError{err}
	}
	last, end := f.continuity.Last().Position, events.Position(info.State.LastSeq)
	if end == last || last == 0 && info.State.Msgs == 0 {
		return nil
	}
	return fmt.Errorf("stream %s ends at %d and its consumer rests at %d", f.p.want.Name, end, last)
}

// abandon lets the server drop a consumer; if the word is lost, the server
// does so by itself after the consumer's inactivity.
func (f *follower) abandon(consumer string) {
	_ = f.p.nc.Publish("$JS.API.CONSUMER.DELETE."+f.p.want.Name+"."+consumer, nil)
}

// info asks the stream's leader.
func (p *partition) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	s, err := p.js.Stream(ctx, p.want.Name)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", p.want.Name, err)
	}
	return s.CachedInfo(), nil
}

// verify reports whether the stream is still what it was at Open.
func (p *partition) verify(c jetstream.StreamConfig) error {
	if err := drift(c, p.want); err != nil {
		return err
	}
	if have, want := c.Metadata[settingsKey], p.want.Metadata[settingsKey]; have != want {
		return &DriftError{Stream: p.want.Name, Field: "metadata " + settingsKey, Have: have, Want: want}
	}
	return nil
}
