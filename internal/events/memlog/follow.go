package memlog

import (
	"context"
	"errors"

	"github.com/raptorflow/tercet/internal/events"
)

// errAgain ends a session that a new one may heal.
var errAgain = errors.New("memlog: attach again")

// Follow implements [events.Log].
func (l *Log) Follow(ctx context.Context, from events.Mark, sink events.Sink) error {
	return l.follow(ctx, events.NewContinuity(from), sink)
}

// Read implements [events.Log].
func (l *Log) Read(ctx context.Context, first, last events.Position, sink events.Sink) error {
	return events.ReadBy(first, last, sink, func(c *events.Continuity, sink events.Sink) error {
		return l.follow(ctx, c, sink)
	})
}

func (l *Log) follow(ctx context.Context, continuity *events.Continuity, sink events.Sink) error {
	f := &follower{l: l, continuity: continuity, sink: sink}
	for {
		err := l.ended(ctx)
		if err == nil {
			err = f.session(ctx)
		}
		if err != errAgain {
			return err
		}
		if err := l.wait(ctx, attachWait); err != nil {
			return err
		}
	}
}

func (l *Log) ended(ctx context.Context) error {
	if l.closed.Err() != nil {
		return events.ErrClosed
	}
	return ctx.Err()
}

type follower struct {
	l          *Log
	continuity *events.Continuity
	sink       events.Sink
	batch      []events.Delivery
	stalled    bool
}

// consumer is the server's side of one session.
type consumer struct {
	history   int
	next      events.Position
	delivered events.Position // the last one sent
}

// session attaches and delivers. It returns errAgain for what may pass.
func (f *follower) session(ctx context.Context) error {
	f.stalled = false
	c, err := f.attach(ctx)
	if err != nil {
		return err
	}
	for {
		if err := f.l.ended(ctx); err != nil {
			return err
		}
		cut, linked := f.l.cut()
		batch, changed, ok := f.l.stream.read(c)
		if !ok {
			return errAgain
		}
		lost := len(batch) == 0 && c.delivered > f.continuity.Last().Position
		switch {
		case f.stalled, lost:
			if err := f.l.wait(ctx, stallWait); err != nil {
				return err
			}
			return errAgain
		case cut || len(batch) == 0:
			select {
			case <-changed:
			case <-linked:
			case <-ctx.Done():
				return ctx.Err()
			case <-f.l.closed.Done():
				return events.ErrClosed
			}
			continue
		}
		c.delivered = batch[len(batch)-1].Position
		c.next = c.delivered + 1
		if err := f.l.wait(ctx, f.l.delay()); err != nil {
			return err
		}
		if err := f.pass(f.strike(batch)); err != nil {
			return err
		}
	}
}

// attach finds the place in the stream, as soon as there is one.
func (f *follower) attach(ctx context.Context) (*consumer, error) {
	for {
		cut, linked := f.l.cut()
		v := f.l.stream.look()
		switch {
		case cut, v.missing:
			select {
			case <-v.changed:
			case <-linked:
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-f.l.closed.Done():
				return nil, events.ErrClosed
			}
			continue
		case v.drifted:
			return nil, events.ErrDrift
		}
		if err := f.continuity.Attach(v.first, v.last); err != nil {
			return nil, err
		}
		return &consumer{history: v.history, next: max(v.first, f.continuity.Start())}, nil
	}
}

// strike does to a batch what the faults say.
func (f *follower) strike(batch []events.Delivery) []events.Delivery {
	var out []events.Delivery
	var late *events.Delivery
	for i := range batch {
		d := batch[i]
		switch f.l.route(d.Position) {
		case Repeated:
			if i > 0 {
				out = append(out, batch[i-1])
			}
			out = append(out, d, d)
		case Dropped:
		case Overtaken:
			if late == nil {
				late = &batch[i]
				continue
			}
			out = append(out, d)
		case Stalled:
			f.stalled = true
			return out
		default:
			out = append(out, d)
		}
		if late != nil {
			out = append(out, *late)
			late = nil
		}
	}
	if late != nil {
		out = append(out, *late)
	}
	return out
}

// pass checks a batch and gives it to the sink.
func (f *follower) pass(batch []events.Delivery) error {
	f.batch = f.batch[:0]
	var broken error
	for _, d := range batch {
		fresh, err := f.continuity.Observe(d.Mark)
		if err != nil {
			broken = err
			if f.continuity.Doubtful(err) {
				broken = errAgain // if the log lost it, it is missing again
			}
			break
		}
		if fresh {
			f.batch = append(f.batch, d)
		}
	}
	if len(f.batch) > 0 {
		if err := f.sink(f.batch); err != nil {
			return err
		}
	}
	return broken
}

// view is what a client sees of a stream at one moment.
type view struct {
	first, last      events.Position
	history          int
	missing, drifted bool
	changed          <-chan struct{}
}

func (s *Stream) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view{s.first, s.last(), s.history, s.missing, s.drifted, s.changed}
}

// read returns what a consumer has to deliver next; nothing, and a channel
// that closes when that may have changed; or false if the consumer is gone. A
// consumer that was trimmed past skips silently, as JetStream's do.
func (s *Stream) read(c *consumer) ([]events.Delivery, <-chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.history != c.history {
		return nil, nil, false
	}
	next := max(c.next, s.first)
	if next > s.last() {
		return nil, s.changed, true
	}
	all := s.records[next-s.first:]
	for len(all) > 0 && all[0].Position == 0 {
		all = all[1:]
	}
	if len(all) == 0 {
		return nil, s.changed, true
	}
	n, size := 0, 0
	for n < len(all) && n < maxBatch && size < maxBatchBytes && all[n].Position > 0 {
		size += len(all[n].Data)
		n++
	}
	return all[:n:n], s.changed, true
}
