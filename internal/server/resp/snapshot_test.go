package resp

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/server/servertest"
)

func TestSnapshot(t *testing.T) {
	var orders []SnapshotOrder
	fail := errors.New("the store is away")
	s := startWith(t, Config{}, servertest.New(), func(d *Deps) {
		d.Snapshot = func(_ context.Context, o SnapshotOrder) (string, error) {
			if orders = append(orders, o); o.Fences && o.Increment {
				return "", fail
			}
			return "an-id", nil
		}
	})
	rdb := s.client(t, 3, "")
	want := []SnapshotOrder{{}, {}, {Fences: true}, {Increment: true}, {Increment: true}}
	for _, args := range [][]any{{}, {"full"}, {"FENCES"}, {"increment"}, {"full", "INCREMENT"}} {
		if id, err := rdb.Do(t.Context(), append([]any{"TERCET.SNAPSHOT"}, args...)...).Text(); err != nil || id != "an-id" {
			t.Errorf("%v: %q, %v", args, id, err)
		}
	}
	for i := range want {
		if i >= len(orders) || orders[i] != want[i] {
			t.Fatalf("orders %v, want %v", orders, want)
		}
	}
	if err := rdb.Do(t.Context(), "TERCET.SNAPSHOT", "fences", "increment").Err(); err == nil || !strings.Contains(err.Error(), fail.Error()) {
		t.Errorf("of a store that fails: %v", err)
	}
	for _, args := range [][]any{{"some"}, {"full", "now"}, {"increment", "full"}} {
		if err := rdb.Do(t.Context(), append([]any{"TERCET.SNAPSHOT"}, args...)...).Err(); err == nil || err.Error() != errSyntax.Error() {
			t.Errorf("%v: %v, want a syntax error", args, err)
		}
	}
	none := start(t, Config{}).client(t, 2, "")
	if err := none.Do(t.Context(), "TERCET.SNAPSHOT").Err(); err == nil || err.Error() != errNoSnapshots.Error() {
		t.Errorf("of a node that keeps none: %v", err)
	}
}
