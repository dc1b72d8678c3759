package invalidator

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/telemetry/tracing"
)

// tracer returns what makes the spans of p, or of the process's provider.
func tracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		p = otel.GetTracerProvider()
	}
	return p.Tracer("github.com/raptorflow/tercet/internal/invalidator")
}

// spans are those of a message's events.
type spans []trace.Span

// begin begins the span "invalidate" of e: from its evaluation until its fences
// have landed. The fences go on with its trace; where nobody records, with
// that of the event itself.
func (s *spans) begin(ctx context.Context, t trace.Tracer, d delivery, e *domainevent.Event, out rules.Outcome) {
	ctx, span := t.Start(tracing.With(ctx, e.Trace(), e.TraceState()), "invalidate", trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return // and a span that records nothing needs no end
	}
	span.SetAttributes(
		attribute.String("cloudevents.event_id", e.ID),
		attribute.String("cloudevents.event_source", e.Source),
		attribute.String("cloudevents.event_type", e.Type),
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.destination.name", d.subject),
		attribute.StringSlice("tercet.rules", out.Rules),
		attribute.Int("tercet.fences", len(out.Fences)),
	)
	*s = append(*s, span)
	if mutant.On(mutant.TraceEndsAtRules) {
		return
	}
	text := events.JoinTrace(tracing.Of(ctx))
	for i := range out.Fences {
		out.Fences[i].Invalidate.Cause.Trace = text
	}
}

// end ends all spans with what came of the message.
func (s spans) end(err error) {
	for _, span := range s {
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
