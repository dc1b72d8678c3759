package resp

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestScript plays testdata/redis.txt in both protocols, in front of
// caches of one, three and eight partitions.
func TestScript(t *testing.T) {
	script, err := os.ReadFile("testdata/redis.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, proto := range []int{2, 3} {
		for _, partitions := range []int{1, 3, 8} {
			played := 0
			var player *redis.Conn
			for number, line := range strings.Split(string(script), "\n") {
				switch {
				case strings.HasPrefix(line, "#"):
				case line == "":
					// A new case has a cache of its own.
					s := start(t, Config{})
					s.cache.Split(partitions)
					player = s.client(t, proto, "").Conn()
				default:
					play(t, player, number+1, line)
					played++
				}
			}
			if played < 60 {
				t.Errorf("RESP%d, %d partitions: only %d commands were played", proto, partitions, played)
			}
		}
	}
}

// play sends one line of the script and compares the reply.
func play(t *testing.T, player *redis.Conn, number int, line string) {
	t.Helper()
	send, want, ok := strings.Cut(line, " => ")
	if !ok {
		t.Fatalf("line %d: no reply", number)
	}
	var args []any
	for w := range strings.FieldsSeq(send) {
		args = append(args, w)
	}
	reply, err := player.Do(t.Context(), args...).Result()
	if got := shown(reply, err, !strings.HasPrefix(want, `"`) && !strings.HasPrefix(want, "[")); got != want {
		t.Errorf("testdata/redis.txt:%d: %s: got %s, want %s", number, send, got, want)
	}
}

// shown writes a reply as the script does. The client tells a status from a
// string by nothing, so the script says which it is.
func shown(reply any, err error, status bool) string {
	switch {
	case errors.Is(err, redis.Nil):
		return "(nil)"
	case err != nil:
		code, _, _ := strings.Cut(err.Error(), " ")
		return "!" + code
	}
	switch v := reply.(type) {
	case nil:
		return "(nil)"
	case string:
		if status {
			return v
		}
		return `"` + v + `"`
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = shown(e, nil, false)
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(reply)
}
