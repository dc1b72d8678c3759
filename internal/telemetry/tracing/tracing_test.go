package tracing_test

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/telemetry/tracing"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceContextTravels(t *testing.T) {
	ctx := tracing.With(context.Background(), parent, "a=b,c=d")
	if s := trace.SpanContextFromContext(ctx); !s.IsRemote() || !s.IsSampled() || s.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("%+v", s)
	}
	text := tracing.Text(ctx)
	p, s := events.Cause{Trace: text}.SplitTrace()
	if p != parent || s != "a=b,c=d" {
		t.Errorf("%q becomes %q and %q", text, p, s)
	}
}

func TestWhatIsNoTraceContext(t *testing.T) {
	for _, bad := range []string{"", "nonsense", parent[:len(parent)-1], "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff" + parent[2:]} {
		if text := tracing.Text(tracing.With(context.Background(), bad, "a=b")); text != "" {
			t.Errorf("%q becomes %q", bad, text)
		}
	}
}

func TestSampled(t *testing.T) {
	for text, want := range map[string]bool{
		parent: true, parent[:len(parent)-2] + "00": false, parent[:len(parent)-2] + "0f": true, parent[:len(parent)-2] + "10": false,
		"": false, "00-01": false,
	} {
		if tracing.Sampled(text) != want {
			t.Errorf("Sampled(%q) = %v", text, !want)
		}
	}
}

func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	long := strings.Repeat("x", events.MaxCause)
	if got := events.JoinTrace(parent, long); got != parent {
		t.Errorf("%d bytes", len(got))
	}
	if got := events.JoinTrace(long+"x", "a=b"); got != "" {
		t.Errorf("%d bytes", len(got))
	}
	if got := events.JoinTrace("", "a=b"); got != "" {
		t.Errorf("%q", got)
	}
}
