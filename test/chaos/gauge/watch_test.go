package gauge

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP go_goroutines\ngo_goroutines_created 5\ngo_goroutines 17\n"))
	}))
	defer page.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	looks := 0
	samples := Watch(ctx, time.Now(), 10*time.Millisecond, func() []Process {
		if looks++; looks == 3 {
			cancel()
		}
		return []Process{{Name: "self", Pid: os.Getpid(), Metrics: page.URL}, {Name: "silent", Pid: os.Getpid()}, {Name: "gone", Pid: 1 << 30}}
	})
	if len(samples) < 4 {
		t.Fatalf("%d samples, want two in each of two looks at least", len(samples))
	}
	if s := samples[0]; s.Name != "self" || s.Goroutines != 17 || s.Files <= 0 || s.RSS < 1<<20 {
		t.Errorf("sampled %+v", s)
	}
	if s := samples[1]; s.Name != "silent" || s.Goroutines != -1 {
		t.Errorf("sampled %+v", s)
	}
}

func TestGauged(t *testing.T) {
	for text, want := range map[string]int{"a 1\nx 2.5e+01\n": 25, "": -1, "x many\n": -1} {
		if got := gauged(strings.NewReader(text), "x"); got != want {
			t.Errorf("%q says %d, want %d", text, got, want)
		}
	}
}
