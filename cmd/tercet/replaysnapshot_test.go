package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// A replay that begins with a snapshot tells what has happened since; a scratch
// node has what the snapshot holds, loaded and compressed values too, and what the
// log changed behind it.
func TestReplayFromASnapshot(t *testing.T) {
	n, _ := snapshotted(t)
	ctx := t.Context()
	const long = "a text that gets smaller, "
	load := func(value string) client.Loader {
		return func(context.Context, string) (client.Loaded, error) {
			return client.Loaded{Value: []byte(value), TTL: time.Hour}, nil
		}
	}
	for _, key := range []string{"loaded", "fenced"} {
		if _, err := n.GetOrLoad(ctx, key, load(strings.Repeat(long, 100))); err != nil {
			t.Fatal(err)
		}
	}
	first := makeOne(t, n, "put", "v1", nil)
	if _, err := n.Invalidate(ctx, client.Invalidation{Keys: []string{"fenced"}}); err != nil {
		t.Fatal(err)
	}
	between := time.Now()
	second := makeOne(t, n, "put", "v2", nil)
	if _, err := n.Set(ctx, "put", []byte("v3")); err != nil {
		t.Fatal(err)
	}

	if out := must(t, "replay", "--from-snapshot", first.ID, "--key", "fenced", "--key", "put"); strings.Count(out, "\n") != 3 || strings.Contains(out, "v1") {
		t.Errorf("since the first:\n%s", out)
	}
	if out := must(t, "replay", "--from-snapshot", "newest", "--key", "put"); strings.Count(out, "\n") != 1 {
		t.Errorf("since the newest:\n%s", out)
	}
	for _, c := range []struct{ from, to, key, value string }{
		{first.ID, "last", "put", "v3"}, {first.ID, "last", "loaded", strings.Repeat(long, 100)}, {first.ID, "last", "fenced", ""},
		{"newest", "last", "put", "v3"}, {second.ID, "last", "loaded", strings.Repeat(long, 100)}, {second.ID, "last", "fenced", ""},
		{"newest", between.Format(time.RFC3339Nano), "put", "v1"}, {"newest", between.Format(time.RFC3339Nano), "fenced", ""},
		{between.Format(time.RFC3339Nano), "last", "put", "v3"},
	} {
		out, problem, code := cli(t, "", "replay", "--into", "scratch", "--from-snapshot", c.from, "--to", c.to, "--get", c.key)
		if out != c.value || code != 0 && (code != codeNotFound || c.value != "") {
			t.Errorf("%s from %s to %s: %.60q, code %d %s, want %.60q", c.key, c.from, c.to, out, code, problem, c.value)
		}
	}
	if _, problem, code := cli(t, "", "replay", "--from-snapshot", second.ID, "--to", between.Format(time.RFC3339Nano)); code != codeFailed || !strings.Contains(problem, "later") {
		t.Errorf("a snapshot of behind the end: code %d, %s", code, problem)
	}
	absent := strings.Replace(first.ID, "20", "19", 1)
	if _, problem, code := cli(t, "", "replay", "--from-snapshot", absent); code != codeFailed {
		t.Errorf("a snapshot that is not there: code %d, %s", code, problem)
	}
	for _, words := range [][]string{{"--from", "3"}, {"--archive", "x"}, {"--into", "node:a"}} {
		if _, problem, code := cli(t, "", append([]string{"replay", "--from-snapshot", "newest"}, words...)...); code != codeUsage {
			t.Errorf("with %v: code %d, %s", words, code, problem)
		}
	}
	for _, bad := range []string{"yesterday", "7"} { // two partitions
		if _, problem, code := cli(t, "", "replay", "--from-snapshot", bad); code != codeUsage {
			t.Errorf("from %s: code %d, %s", bad, code, problem)
		}
	}
}
