package sim

import (
	"context"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
)

// cable is a process's way to one partition's log.
type cable struct {
	p *process
	l *memlog.Log
}

var _ events.Log = (*cable)(nil)

func (c *cable) Publish(ctx context.Context, id events.ID, data []byte) (events.Position, error) {
	return c.publish(ctx, id, func() (events.Position, error) { return c.l.Publish(ctx, id, data) })
}

func (c *cable) PublishNext(ctx context.Context, last events.Mark, id events.ID, data []byte) (events.Position, error) {
	return c.publish(ctx, id, func() (events.Position, error) { return c.l.PublishNext(ctx, last, id, data) })
}

func (c *cable) publish(ctx context.Context, id events.ID, publish func() (events.Position, error)) (events.Position, error) {
	if err := c.p.pass(ctx); err != nil {
		return 0, &events.PublishError{ID: id, Outcome: events.ErrNotLanded, Cause: err}
	}
	c.p.nap(c.p.roll, time.Millisecond)
	if c.p.isDead() && c.p.roll.chance(0.5) { // the other half were on the wire
		return 0, &events.PublishError{ID: id, Outcome: events.ErrIndeterminate, Cause: errDead}
	}
	at, err := publish()
	if dead := c.p.pass(c.p.w.ctx); dead != nil {
		return 0, &events.PublishError{ID: id, Outcome: events.ErrIndeterminate, Cause: dead}
	}
	return at, err
}

func (c *cable) Follow(ctx context.Context, from events.Mark, sink events.Sink) error {
	return c.l.Follow(ctx, from, c.deliver(ctx, sink))
}

func (c *cable) Read(ctx context.Context, first, last events.Position, sink events.Sink) error {
	return c.l.Read(ctx, first, last, c.deliver(ctx, sink))
}

// deliver passes batches on to sink, in the form that the machine's build reads.
func (c *cable) deliver(ctx context.Context, sink events.Sink) events.Sink {
	return func(batch []events.Delivery) error {
		if err := c.p.pass(ctx); err != nil {
			return err
		}
		if w := c.p.w; w.plan.upgrading && c.p.m == w.machines[len(w.machines)-1] {
			batch = slices.Clone(batch)
			for i := range batch {
				batch[i].Data = thisVersion(batch[i].Data)
			}
		}
		return sink(batch)
	}
}

// thisVersion is what the next version's build makes of a record: the next
// version is this one under another number.
func thisVersion(data []byte) []byte {
	if len(data) == 0 || data[0] != events.WireVersion+1 {
		return data
	}
	data = slices.Clone(data)
	data[0] = events.WireVersion
	return data
}

// faults is the noise between a process and the log.
func (p *process) faults() memlog.Faults {
	w, roll := p.w, newDice(p.w.plan.Seed, "log "+p.m.name+p.incarnation.String())
	n := w.plan.noise
	return memlog.Faults{
		Publish: func(events.ID, int) (memlog.Fate, time.Duration) {
			after := roll.between(50*time.Microsecond, 2*time.Millisecond)
			switch {
			case w.strikes(roll, n.publishSlow, "log: slow answer"):
				after = roll.between(10*time.Millisecond, 600*time.Millisecond)
			case w.strikes(roll, n.requestLost, "log: request lost"):
				return memlog.RequestLost, roll.between(50*time.Millisecond, 300*time.Millisecond)
			case w.strikes(roll, n.answerLost, "log: answer lost"):
				return memlog.AnswerLost, roll.between(50*time.Millisecond, 300*time.Millisecond)
			case w.strikes(roll, n.refused, "log: refused"):
				return memlog.Refused, after
			}
			return memlog.Landed, after
		},
		Deliver: func(events.Position) memlog.Route {
			switch {
			case w.strikes(roll, n.repeated, "log: repeated"):
				return memlog.Repeated
			case w.strikes(roll, n.dropped, "log: dropped"):
				return memlog.Dropped
			case w.strikes(roll, n.overtaken, "log: overtaken"):
				return memlog.Overtaken
			case w.strikes(roll, n.stalled, "log: stalled"):
				return memlog.Stalled
			}
			return memlog.Delivered
		},
		Delay: func() time.Duration {
			if w.strikes(roll, n.deliverySlow, "log: slow delivery") {
				return roll.between(5*time.Millisecond, 500*time.Millisecond)
			}
			return roll.between(20*time.Microsecond, time.Millisecond)
		},
	}
}
