package ops

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
)

func TestTracesReachTheCollector(t *testing.T) {
	var mu sync.Mutex
	var got bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		got.WriteString(r.URL.Path + "\n")
		if _, err := io.Copy(&got, body); err != nil {
			t.Error(err)
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	before := otel.GetTracerProvider()
	defer otel.SetTracerProvider(before)
	stop, err := startTraces(t.Context(), "node")
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(t.Context(), "a span of the test")
	span.End()
	stop()
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"/v1/traces\n", "a span of the test", "tercet-node"} {
		if !bytes.Contains(got.Bytes(), []byte(want)) {
			t.Errorf("the collector got no %q in %q", want, got.String())
		}
	}
}

func TestNoTracesUnlessACollectorIsNamed(t *testing.T) {
	before := otel.GetTracerProvider()
	for _, env := range []map[string]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
	} {
		for k, v := range env {
			t.Setenv(k, v)
		}
		stop, err := startTraces(t.Context(), "node")
		if err != nil {
			t.Fatal(err)
		}
		stop()
		if otel.GetTracerProvider() != before {
			t.Errorf("%v: spans are recorded", env)
		}
	}
}
