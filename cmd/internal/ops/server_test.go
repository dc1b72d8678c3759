package ops_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/config"
)

func TestHandler(t *testing.T) {
	var why error
	s, err := ops.NewServer(config.HTTP{Token: "secret"}, func() error { return why }, slog.New(slog.DiscardHandler),
		ops.Samples(func() []ops.Sample {
			return []ops.Sample{
				{Name: "tercet_a_total", Help: "A.", Value: 3},
				{Name: "tercet_b", Help: "B.", Value: 1.5, Label: "rule", LabelValue: "x"},
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, token string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		b, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(b)
	}
	if code, _ := ask("/healthz", ""); code != 200 {
		t.Errorf("health: %d", code)
	}
	if code, _ := ask("/readyz", ""); code != 200 {
		t.Errorf("ready: %d", code)
	}
	why = errors.New("no connection")
	if code, body := ask("/readyz", ""); code != 503 || !strings.Contains(body, "no connection") {
		t.Errorf("not ready: %d, %s", code, body)
	}
	for _, token := range []string{"", "wrong"} {
		if code, _ := ask("/metrics", token); code != 401 {
			t.Errorf("token %q: %d", token, code)
		}
	}
	code, body := ask("/metrics", "secret")
	for _, want := range []string{"# TYPE tercet_a_total counter\ntercet_a_total 3", "# TYPE tercet_b gauge\ntercet_b{rule=\"x\"} 1.5", "go_goroutines"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, metrics without %q", code, want)
		}
	}
}
