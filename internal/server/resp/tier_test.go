package resp

import (
	"strings"
	"testing"
)

func TestTier(t *testing.T) {
	s := start(t, Config{})
	rdb := s.client(t, 3, "")
	states := func() map[any]any {
		t.Helper()
		v, err := rdb.Do(t.Context(), "TERCET.TIER").Result()
		if err != nil {
			t.Fatal(err)
		}
		return v.(map[any]any)
	}
	if err := rdb.Do(t.Context(), "TERCET.TIER", "Redis", "off").Err(); err != nil {
		t.Fatal(err)
	}
	if s := states(); s["redis"] != "off" || s["memory"] != "on" || s["owner"] != "none" {
		t.Fatalf("%v", s)
	}
	if err := rdb.Do(t.Context(), "TERCET.TIER", "redis", "ON").Err(); err != nil || states()["redis"] != "on" {
		t.Fatalf("%v, %v", err, states())
	}
	for _, bad := range [][]any{{"TERCET.TIER", "redis"}, {"TERCET.TIER", "tape", "off"}, {"TERCET.TIER", "redis", "maybe"}} {
		if err := rdb.Do(t.Context(), bad...).Err(); err == nil || !strings.HasPrefix(err.Error(), "ERR") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
