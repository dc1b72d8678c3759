package invalidator_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator"
)

// causes remembers the causes of what landed.
type causes struct {
	mu  sync.Mutex
	all []events.Cause
}

func (c *causes) Fence(_ context.Context, _ string, fences ...*events.Invalidate) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range fences {
		c.all = append(c.all, f.Cause)
	}
	return nil
}

func (c *causes) landed() []events.Cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]events.Cause(nil), c.all...)
}

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "00-" + traceID + "-b7ad6b7169203331-01"
)

func traced(id string) string {
	return strings.Replace(event("label", id, `{"label":"x"}`), `"data"`, `"traceparent":"`+parent+`","tracestate":"a=b","data"`, 1)
}

func TestFencesGoOnWithTheEventsTrace(t *testing.T) {
	f := newFixture(t)
	recorder := tracetest.NewSpanRecorder()
	landed := &causes{}
	f.start(landed, func(d *invalidator.Deps, _ *invalidator.Config) {
		d.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	})
	f.publish("events.label", traced("1"))
	f.publish("events.label", event("label", "2", `{"label":"y"}`), "traceparent", parent)
	f.publish("events.label", event("label", "3", `{"label":"z"}`))
	await(t, "fences and spans", func() bool { return len(landed.landed()) == 3 && len(recorder.Ended()) == 3 })
	for _, span := range recorder.Ended() {
		var cause events.Cause
		for _, c := range landed.landed() {
			if p, _ := c.SplitTrace(); strings.Contains(p, span.SpanContext().SpanID().String()) {
				cause = c
			}
		}
		p, state := cause.SplitTrace()
		switch cause.Event {
		case "/test#1", "/test#2":
			if span.Parent().TraceID().String() != traceID || !strings.HasPrefix(p, "00-"+traceID+"-") || !strings.HasSuffix(p, "-01") || (cause.Event == "/test#1") != (state == "a=b") {
				t.Errorf("%s goes on as %+v", cause.Event, cause)
			}
		case "/test#3":
			if span.Parent().IsValid() {
				t.Errorf("an event without a trace has the parent %v", span.Parent())
			}
		default:
			t.Errorf("no fence carries on the span %s", span.SpanContext().SpanID())
		}
		if span.Name() != "invalidate" {
			t.Errorf("a span %q", span.Name())
		}
	}
}

func TestWithoutARecorderTheEventsTraceItselfTravels(t *testing.T) {
	f := newFixture(t)
	landed := &causes{}
	f.start(landed)
	f.publish("events.label", traced("1"))
	await(t, "fence", func() bool { return len(landed.landed()) == 1 })
	if c := landed.landed()[0]; c.Trace != parent+" a=b" {
		t.Errorf("%+v", c)
	}
}

func TestStatsOfRules(t *testing.T) {
	f := newFixture(t)
	i, _ := f.start(newLog())
	f.publish("events.label", event("label", "1", `{"label":"x"}`))
	f.publish("events.label", event("label", "2", `{"label":"x"}`))
	f.publish("events.hot", event("hot", "3", `{"id":1}`))
	await(t, "counts", func() bool { return i.Stats().Events == 3 })
	label := i.Stats().Rules["label"]
	if label.Matched != 2 || label.Missed != 1 || label.Failed != 0 || label.Lag <= 0 || label.LastLag <= 0 || label.LastLag > label.Lag {
		t.Errorf("label: %+v", label)
	}
	if price := i.Stats().Rules["price"]; price.Missed != 3 || price.Lag != 0 {
		t.Errorf("price: %+v", price)
	}
	i.SetRules(f.rules(testRules + "  - {name: new, match: {type: label}, keys: k}\n"))
	f.publish("events.hot", event("hot", "4", `{"id":1}`))
	await(t, "the fourth", func() bool { return i.Stats().Events == 4 })
	if s := i.Stats().Rules; s["new"].Missed != 1 || s["label"].Missed != 2 {
		t.Errorf("after a reload: %+v", s)
	}
}
