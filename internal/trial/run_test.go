package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/trial/input"
)

func TestRunIsCoherentAndLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	s, err := Run(t.Context(), Options{Duration: 3 * time.Second, MaxReads: 6000, JSON: true}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if s.Reads == 0 || s.Hits.L1 == 0 || s.Hits.L2 == 0 || s.Loads == 0 || s.Events == 0 || s.Invalidations < s.Events {
		t.Errorf("summary %+v", s)
	}
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	var last Summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Reads != s.Reads {
		t.Errorf("the last line is not the summary: %v\n%s", err, lines[len(lines)-1])
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("terminal sequences without being asked for")
	}
	for _, want := range []string{"is stopped", "is back", "fence of tag category:books", "read once more"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing said of %q in:\n%s", want, out.String())
		}
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRunKeepsTheFleetUntilToldOtherwise(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	path := filepath.Join(t.TempDir(), "few.trace")
	if err := os.WriteFile(path, []byte(strings.Repeat("1\n2\n3\n", 50)), 0o600); err != nil {
		t.Fatal(err)
	}
	out := &watched{want: "node-c over HTTP", found: stop}
	if _, err := Run(ctx, Options{Duration: time.Second, Input: path, Keep: true}, out); err != nil {
		t.Fatalf("%v\n%s", err, out.text.String())
	}
	for _, want := range []string{"nats://127.0.0.1:", "redis://127.0.0.1:", "http://127.0.0.1:"} {
		if !strings.Contains(out.text.String(), want) {
			t.Errorf("no address %s in:\n%s", want, out.text.String())
		}
	}
}

// watched calls found once want was written.
type watched struct {
	text  bytes.Buffer
	want  string
	found func()
}

func (w *watched) Write(b []byte) (int, error) {
	w.text.Write(b)
	if strings.Contains(w.text.String(), w.want) {
		w.found()
	}
	return len(b), nil
}

func TestRunRefuses(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, tc := range map[string]struct {
		o    Options
		want error
	}{
		"too short":      {Options{Duration: time.Millisecond}, ErrOptions},
		"too long":       {Options{Duration: time.Hour}, ErrOptions},
		"negative reads": {Options{MaxReads: -1}, ErrOptions},
		"no such input":  {Options{Input: filepath.Join(t.TempDir(), "none")}, os.ErrNotExist},
		"unknown input":  {Options{Input: "doc.go"}, input.ErrUnknownFormat},
	} {
		if _, err := Run(t.Context(), tc.o, &bytes.Buffer{}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for name, s := range map[string]Summary{
		"stale": {StaleReads: 1}, "wrong": {WrongValues: 1}, "unfenced": {Unfenced: 1},
	} {
		if err := verdict(&s); !errors.Is(err, ErrIncoherent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verdict(&Summary{LateReads: 5, Refused: 5}); err != nil {
		t.Errorf("late and refused reads are allowed: %v", err)
	}
}
