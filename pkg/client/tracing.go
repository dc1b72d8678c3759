package client

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/telemetry/tracing"
)

// traceWithin is how old a record may be whose application is traced: a node
// that replays a day of the log has nothing to tell about the traces of then.
const traceWithin = time.Minute

// traced returns next, which may be nil, with spans "apply" before it: of each
// invalidation whose trace is sampled, from its place in the log, by the log's
// clock, until this process has applied it.
func (c *Client) traced(next func(int, events.Mark, []events.Change)) func(int, events.Mark, []events.Change) {
	provider := c.cfg.TracerProvider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	t := provider.Tracer("github.com/raptorflow/tercet/pkg/client")
	return func(partition int, m events.Mark, changes []events.Change) {
		for _, change := range changes {
			if inv, ok := change.(*events.Invalidate); ok && inv.Cause.Trace != "" {
				c.traceApply(t, partition, m, inv)
			}
		}
		if next != nil {
			next(partition, m, changes)
		}
	}
}

func (c *Client) traceApply(t trace.Tracer, partition int, m events.Mark, inv *events.Invalidate) {
	parent, state := inv.Cause.SplitTrace()
	if !tracing.Sampled(parent) {
		return
	}
	now := time.Now()
	began := time.Unix(0, m.Time)
	switch age := now.Sub(began); {
	case age > traceWithin:
		return
	case age < 0: // the log's clock is ahead of ours
		began = now
	}
	_, span := t.Start(tracing.With(context.Background(), parent, state), "apply",
		trace.WithTimestamp(began), trace.WithAttributes(
			attribute.String("tercet.domain", c.cfg.Domain),
			attribute.String("tercet.node", c.cfg.NodeID),
			attribute.Int("tercet.partition", partition),
			attribute.Int64("tercet.position", int64(m.Position)),
			attribute.String("tercet.event", inv.Cause.Event),
		))
	span.End(trace.WithTimestamp(now))
}
