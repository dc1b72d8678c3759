package replay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Frozen is a log that is what a source holds up to a position, and goes on from
// there by itself: what is published to it lands behind that position, is kept
// in memory and seen by those who follow this Frozen alone. So a node can be run
// on a past of the log without anybody hearing of it. Build one with [Freeze].
type Frozen struct {
	source      Source
	first, last events.Mark
	now         func() time.Time

	mu      sync.Mutex
	own     []events.Delivery // behind last
	ids     map[events.ID]events.Position
	changed chan struct{} // closed and replaced when own grows
}

var _ events.Log = (*Frozen)(nil)

// Freeze returns the log of a source up to and including last, which the source
// must hold. now stamps what is published; nil: the system's clock.
func Freeze(ctx context.Context, s Source, last events.Position, now func() time.Time) (*Frozen, error) {
	f := &Frozen{source: s, now: now, ids: map[events.ID]events.Position{}, changed: make(chan struct{})}
	if now == nil {
		f.now = time.Now
	}
	var err error
	var newest events.Mark
	if f.first, newest, err = s.Bounds(ctx); err != nil {
		return nil, err
	}
	if mutant.On(mutant.FrozenLogGrows) {
		last = newest.Position
	}
	if f.last, err = s.MarkAt(ctx, last); err != nil {
		return nil, err
	}
	if f.last.Position == 0 || f.first.Position > last {
		return nil, fmt.Errorf("%w: freeze at %d: not held", events.ErrInvalid, last)
	}
	return f, nil
}

// Publish implements [events.Log]: the record lands at once.
func (f *Frozen) Publish(ctx context.Context, id events.ID, data []byte) (events.Position, error) {
	return f.publish(ctx, nil, id, data)
}

// PublishNext implements [events.Log].
func (f *Frozen) PublishNext(ctx context.Context, last events.Mark, id events.ID, data []byte) (events.Position, error) {
	return f.publish(ctx, &last, id, data)
}

func (f *Frozen) publish(ctx context.Context, behind *events.Mark, id events.ID, data []byte) (events.Position, error) {
	refuse := func(cause error) (events.Position, error) {
		return 0, &events.PublishError{ID: id, Outcome: events.ErrNotLanded, Cause: cause}
	}
	if err := ctx.Err(); err != nil {
		return refuse(err)
	}
	if len(data) > events.MaxRecord {
		return refuse(events.ErrTooLarge)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	end := f.end()
	if behind != nil && (behind.Position != end.Position || behind.ID != end.ID) {
		return refuse(events.ErrNotNext)
	}
	if at, known := f.ids[id]; known {
		return at, nil
	}
	m := events.Mark{Position: end.Position + 1, ID: id, Time: max(f.now().UnixNano(), end.Time)}
	f.own = append(f.own, events.Delivery{Mark: m, Data: slices.Clone(data)})
	f.ids[id] = m.Position
	close(f.changed)
	f.changed = make(chan struct{})
	return m.Position, nil
}

// end is the mark of the newest record. The caller holds mu.
func (f *Frozen) end() events.Mark {
	if n := len(f.own); n > 0 {
		return f.own[n-1].Mark
	}
	return f.last
}

// Follow implements [events.Log].
func (f *Frozen) Follow(ctx context.Context, from events.Mark, sink events.Sink) error {
	return f.follow(ctx, events.NewContinuity(from), sink)
}

// Read implements [events.Log].
func (f *Frozen) Read(ctx context.Context, first, last events.Position, sink events.Sink) error {
	return events.ReadBy(first, last, sink, func(c *events.Continuity, sink events.Sink) error {
		return f.follow(ctx, c, sink)
	})
}

func (f *Frozen) follow(ctx context.Context, c *events.Continuity, sink events.Sink) error {
	f.mu.Lock()
	end := f.end()
	f.mu.Unlock()
	if err := c.Attach(f.first.Position, end.Position); err != nil {
		return err
	}
	pass := func(batch []events.Delivery) error {
		fresh := make([]events.Delivery, 0, len(batch))
		for _, d := range batch {
			ok, err := c.Observe(d.Mark)
			if err != nil {
				return err
			}
			if ok {
				fresh = append(fresh, d)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		return sink(fresh)
	}
	if from := max(c.Start(), f.first.Position); from <= f.last.Position {
		if err := f.source.Read(ctx, from, f.last.Position, pass); err != nil {
			return err
		}
	}
	return f.followOwn(ctx, max(c.Start(), f.last.Position+1), pass)
}

// followOwn delivers what was published here, from a position on, until ctx is
// done.
func (f *Frozen) followOwn(ctx context.Context, next events.Position, pass events.Sink) error {
	for {
		f.mu.Lock()
		batch, changed := f.own[min(len(f.own), int(next-f.last.Position)-1):], f.changed
		f.mu.Unlock()
		if len(batch) > 0 {
			if err := pass(batch); err != nil {
				return err
			}
			next = batch[len(batch)-1].Position + 1
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
