package tracing

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/raptorflow/tercet/internal/events"
)

const (
	parentKey = "traceparent"
	stateKey  = "tracestate"
)

// With returns ctx with the trace context that parent and state name, as the
// remote parent of spans that begin with it. Where they name none, ctx is
// returned as it is.
func With(ctx context.Context, parent, state string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{parentKey: parent, stateKey: state})
}

// Of returns the traceparent and tracestate of the span in ctx, empty if there
// is none.
func Of(ctx context.Context) (parent, state string) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return "", ""
	}
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c[parentKey], c[stateKey]
}

// Text returns the trace context in ctx as a cause holds it, empty if there is
// none.
func Text(ctx context.Context) string {
	return events.JoinTrace(Of(ctx))
}

// Sampled reports whether a traceparent asks for its spans to be recorded.
func Sampled(parent string) bool {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(parent) < length {
		return false
	}
	c := parent[length-1]
	return trace.TraceFlags(hex(c))&trace.FlagsSampled != 0
}

// hex returns a digit's value; 0 for what is none.
func hex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0
}
