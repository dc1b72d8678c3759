package backup

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

// A server tells where a log ends when it is asked for a backup, and packs what
// it holds a moment later. The backup of a log that was written to in between
// holds more than its manifest says, and is as good as any other.
func TestBackupOfABusyLog(t *testing.T) {
	s := newShop(t, short(1))
	n := s.join("n")
	for _, key := range []string{"a", "b", "c"} {
		put(t, n, key, "v")
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, err := Take(t.Context(), s.nc, domain, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(by int) {
		t.Helper()
		l := m.Logs[0]
		var state jetstream.StreamState
		if err := json.Unmarshal(l.State, &state); err != nil {
			t.Fatal(err)
		}
		state.LastSeq += uint64(by)
		text, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		l.State, l.Last = text, l.Last+events.Position(by)
		told := *m
		told.Logs = []Log{l}
		if err := told.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	tell(-2)
	_, done, err := Restore(t.Context(), s.nc, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if r := done[0]; r.Last != m.Logs[0].Last || r.Epoch != r.Last+1 {
		t.Errorf("restored to %d with an epoch at %d, the log had %d", r.Last, r.Epoch, m.Logs[0].Last)
	}
	tell(+2)
	if _, _, err := Restore(t.Context(), s.nc, dir, true); !errors.Is(err, ErrUnusable) {
		t.Errorf("records that are missing: %v, want %v", err, ErrUnusable)
	}
}
