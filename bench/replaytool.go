package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/replay/scratch"
)

// reading gives f the log as `tercet replay` has it.
func (l *replayLog) reading(ctx context.Context, f func(*jslog.Domain, *race) error) side {
	return func(time.Duration) (float64, error) {
		nc, err := nats.Connect(l.b.natsURL())
		if err != nil {
			return 0, err
		}
		defer nc.Close()
		d, err := jslog.Open(ctx, nc, replayDomain)
		if err != nil {
			return 0, err
		}
		defer d.Close()
		r := race{to: l.last, done: make(chan struct{})}
		if err := f(d, &r); err != nil {
			return 0, err
		}
		return r.rate(ctx)
	}
}

// tool reads, decodes, filters and counts, as a dry run does.
func (l *replayLog) tool(ctx context.Context) side {
	return l.reading(ctx, func(d *jslog.Domain, r *race) error {
		o := replay.Options{Pulses: true}
		whole := []replay.Range{{First: 1, Last: events.Position(l.last)}}
		_, err := replay.Run(ctx, []replay.Source{d.Retained(0)}, whole, o, sighted{r})
		return err
	})
}

// sighted takes the time of what comes by.
type sighted struct{ r *race }

func (s sighted) Take(_ context.Context, _ int, items []replay.Item) error {
	for _, i := range items {
		s.r.saw(uint64(i.Position))
	}
	return nil
}

// scratch applies all of it to a node of its own.
func (l *replayLog) scratch(ctx context.Context) side {
	return l.reading(ctx, func(d *jslog.Domain, r *race) error {
		s, err := scratch.Open(ctx, scratch.Config{
			Settings: d.Settings(), Sources: []replay.Source{d.Retained(0)}, To: []events.Position{events.Position(l.last)},
			OnApply: func(_ int, m events.Mark, _ []events.Change) { r.saw(uint64(m.Position)) },
		})
		if err != nil {
			return err
		}
		return s.Close()
	})
}
