package client_test

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/raptorflow/tercet/pkg/client"
)

// An invalidation within a span is applied within its trace, on every node.
func TestApplyGoesOnWithTheTrace(t *testing.T) {
	f := newFleet(t)
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	a := f.open("a", func(c *client.Config) { c.TracerProvider = provider })
	f.open("b", func(c *client.Config) { c.TracerProvider = provider })

	ctx, span := provider.Tracer("test").Start(t.Context(), "commit")
	if _, err := a.Invalidate(ctx, client.Invalidation{Keys: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Invalidate(t.Context(), client.Invalidation{Keys: []string{"no trace"}}); err != nil {
		t.Fatal(err)
	}
	span.End()
	await(t, "both nodes' spans", func() bool {
		nodes := map[string]bool{}
		for _, s := range recorder.Ended() {
			if s.Name() != "apply" {
				continue
			}
			if s.Parent().SpanID() != span.SpanContext().SpanID() || !s.Parent().IsRemote() || s.EndTime().Before(s.StartTime()) {
				t.Fatalf("apply has the parent %v", s.Parent())
			}
			for _, kv := range s.Attributes() {
				if kv.Key == "tercet.node" {
					nodes[kv.Value.AsString()] = true
				}
			}
		}
		return len(nodes) == 2
	})
}
