package drill

import (
	"errors"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
)

func TestDrills(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r, err := Run(t.Context(), name, Options{Keys: 400, Out: &out})
			if err != nil {
				t.Fatalf("%v\n%+v\n%s", err, r, &out)
			}
			if !r.Passed() || r.Recovery == 0 || len(r.Steps) < 5 || r.Promised && r.Back < 300 {
				t.Errorf("%+v", r)
			}
			t.Logf("%+v", r)
		})
	}
}

func TestUnknownDrill(t *testing.T) {
	if _, err := Run(t.Context(), "earthquake", Options{}); !errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "rebuild") {
		t.Error(err)
	}
}

// A report that shows what must not be is no pass.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		r    Report
		pass bool
	}{
		{Report{Back: 1, Promised: true}, true},
		{Report{Back: 1, Missing: 1, Promised: true}, false},
		{Report{Promised: true}, false},
		{Report{Missing: 1}, true},
		{Report{Back: 1, Dead: 1}, false},
	} {
		if c.r.Passed() != c.pass {
			t.Errorf("%+v passes: %v", c.r, !c.pass)
		}
	}
}
