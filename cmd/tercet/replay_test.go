package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/pkg/client"
)

// shopLog writes a small history: a1, b1, a2, a fence of b.
func shopLog(t *testing.T) {
	t.Helper()
	must(t, "domain", "create", "shop")
	must(t, "set", "a", "a1")                 // 2
	must(t, "set", "b", "b1", "--tag", "tea") // 3
	must(t, "set", "a", "a2")                 // 4
	must(t, "invalidate", "--tag", "tea")     // 5
	must(t, "invalidate", "c")                // 6
}

// logged counts the domain's records.
func logged(t *testing.T) uint64 {
	t.Helper()
	var v domainView
	if err := json.Unmarshal([]byte(must(t, "domain", "show", "shop", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	return v.Logs[0].Last
}

func TestReplay(t *testing.T) {
	environment(t)
	shopLog(t)
	before := logged(t)

	out := must(t, "replay")
	if n := strings.Count(out, "\n"); n != 6 || !strings.Contains(out, "tags tea") {
		t.Errorf("screen:\n%s", out)
	}
	if out := must(t, "replay", "--key", "b", "--json"); strings.Count(out, "\n") != 3 || strings.Contains(out, `"a"`) {
		t.Errorf("by key:\n%s", out)
	}
	if out := must(t, "replay", "--from", "3", "--to", "4"); strings.Count(out, "\n") != 2 {
		t.Errorf("from 3 to 4:\n%s", out)
	}
	var counts replayed
	if err := json.Unmarshal([]byte(must(t, "replay", "--dry-run", "--json", "--rate", "1000")), &counts); err != nil {
		t.Fatal(err)
	}
	if counts.Read != 6 || counts.Puts != 3 || counts.Values != 3 || counts.Invalidates != 2 || counts.Epochs != 1 {
		t.Errorf("dry run: %+v", counts)
	}

	file := filepath.Join(t.TempDir(), "shop.ndjson")
	if out := must(t, "replay", "--into", "file:"+file); !strings.Contains(out, "6 records read") {
		t.Errorf("into a file: %s", out)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if got := must(t, "replay", "--archive", file); got != out {
		t.Errorf("the archive:\n%s\nthe log:\n%s", got, out)
	}

	for _, source := range [][]string{nil, {"--archive", file}} {
		travel := func(words ...string) (string, int) {
			out, problem, code := cli(t, "", append(append([]string{"replay", "--into", "scratch"}, words...), source...)...)
			if code != 0 && code != codeNotFound {
				t.Fatal(problem)
			}
			return out, code
		}
		for _, c := range []struct{ to, key, value string }{
			{"2", "a", "a1"}, {"3", "a", "a1"}, {"4", "a", "a2"}, {"2", "b", ""}, {"4", "b", "b1"}, {"5", "b", ""}, {"last", "a", "a2"},
		} {
			out, code := travel("--to", c.to, "--get", c.key)
			if out != c.value || (code == codeNotFound) != (c.value == "") {
				t.Errorf("%s at %s of %v: %q, code %d, want %q", c.key, c.to, source, out, code, c.value)
			}
		}
	}
	if after := logged(t); after != before {
		t.Errorf("the log went from %d to %d", before, after)
	}

	filtered := filepath.Join(t.TempDir(), "filtered.ndjson")
	must(t, "replay", "--into", "file:"+filtered, "--key", "a")
	if _, problem, code := cli(t, "", "replay", "--archive", filtered, "--into", "scratch"); code != codeFailed || !strings.Contains(problem, "filtered") {
		t.Errorf("scratch of a filtered archive: code %d, %s", code, problem)
	}
	if err := os.Truncate(file, 500); err != nil {
		t.Fatal(err)
	}
	if _, problem, code := cli(t, "", "replay", "--archive", file); code != codeUsage || !strings.Contains(problem, "line 2: cut short") {
		t.Errorf("a torn archive: code %d, %s", code, problem)
	}
	for _, words := range [][]string{
		{"--into", "moon"}, {"--into", "file:"}, {"--into", "screen", "--get", "a"}, {"--from", "yesterday"}, {"--rate", "-1"}, {"--partition", "1"},
		{"--into", "scratch", "--key", "a"}, {"--into", "scratch:0.0.0.0:1"}, {"--into", "scratch:x"}, {"--into", "node:n", "--to", "4"}, {"--prefix", "x"},
	} {
		if _, problem, code := cli(t, "", append([]string{"replay"}, words...)...); code != codeUsage {
			t.Errorf("%q: code %d, %s", words, code, problem)
		}
	}
}

// A scratch node answers Redis clients until it is interrupted.
func TestScratchServes(t *testing.T) {
	environment(t)
	shopLog(t)
	read, write := io.Pipe()
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()
	ended := make(chan error, 1)
	cmd := newApp(strings.NewReader(""), write, io.Discard).command()
	cmd.SetArgs([]string{"replay", "--into", "scratch", "--to", "4", "--json"})
	go func() { ended <- cmd.ExecuteContext(ctx); write.Close() }()
	var view struct{ URL string }
	if err := json.NewDecoder(read).Decode(&view); err != nil {
		t.Fatal(err)
	}
	o, err := redis.ParseURL(view.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := redis.NewClient(o)
	for key, value := range map[string]string{"a": "a2", "b": "b1"} {
		if got, err := r.Get(ctx, key).Result(); got != value || err != nil {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	if err := r.Set(ctx, "a", "mine", 0).Err(); err != nil {
		t.Error(err)
	}
	_ = r.Close()
	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := must(t, "replay", "--into", "scratch", "--get", "a"); got != "a2" {
		t.Errorf("a is %q: the scratch node's write came out", got)
	}
}

// A running node takes what is alive, with its own birth, and nothing else.
func TestReplayIntoANode(t *testing.T) {
	s := environment(t)
	must(t, "domain", "create", "shop", "--lease", "5s")
	for i := range 50 {
		must(t, "set", fmt.Sprint("key:", i), fmt.Sprint("v", i))
	}
	must(t, "invalidate", "key:7")
	n, err := client.Open(t.Context(), client.Config{Domain: "shop", NATSURL: s.URL(), NodeID: "node-a", L1Size: 1 << 20, Addresses: []string{"http://127.0.0.1:4242"}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	before, err := n.Node().Get(t.Context(), "key:3", nil, node.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var v offered
	if err := json.Unmarshal([]byte(must(t, "replay", "--into", "node:127.0.0.1:4242", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Node != "node-a" || v.Offered != 49 || v.Dead != 1 || v.Asked != 49 || v.Held != 49 {
		t.Errorf("%+v", v)
	}
	if x := n.Node().Stats(); x.CopiesReceived != 49 || x.CopiesKept != 49 || x.CopiesRefused != 0 {
		t.Errorf("received %d, kept %d, refused %d", x.CopiesReceived, x.CopiesKept, x.CopiesRefused)
	}
	after, err := n.Node().Get(t.Context(), "key:3", nil, node.ReadOptions{})
	if err != nil || after.Entry.Birth() != before.Entry.Birth() || !bytes.Equal(after.Entry.Payload(), before.Entry.Payload()) {
		t.Errorf("key:3 was %q of %d, is %q of %d: %v", before.Entry.Payload(), before.Entry.Birth(), after.Entry.Payload(), after.Entry.Birth(), err)
	}
	if _, err := n.Node().Get(t.Context(), "key:7", nil, node.ReadOptions{}); err == nil {
		t.Error("a fenced key is back")
	}
	if err := json.Unmarshal([]byte(must(t, "replay", "--into", "node:node-a", "--dry-run", "--json", "--key", "key:3")), &v); err != nil || v.Offered != 1 {
		t.Errorf("dry run: %+v, %v", v, err)
	}
	if x := n.Node().Stats(); x.CopiesReceived != 49 {
		t.Errorf("a dry run sent %d copies", x.CopiesReceived-49)
	}
	if _, problem, code := cli(t, "", "replay", "--into", "node:node-b"); code != codeNotFound || !strings.Contains(problem, "node-a") {
		t.Errorf("a node that is not there: code %d, %s", code, problem)
	}
}

// A node that began with fences alone has no values; the log's are brought to it.
func TestReplayWarmsANode(t *testing.T) {
	s := environment(t)
	must(t, "domain", "create", "shop", "--lease", "5s")
	store, err := client.SnapshotDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string) *client.Client {
		n, err := client.Open(t.Context(), client.Config{Domain: "shop", NATSURL: s.URL(), NodeID: name, L1Size: 1 << 20, Snapshots: store, Replication: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(context.Background()) })
		return n
	}
	a := open("node-a")
	for i := range 100 {
		if _, err := a.Set(t.Context(), fmt.Sprint("key:", i), []byte("v"), client.Tags(fmt.Sprint("tag:", i%10))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.CreateSnapshot(t.Context(), client.SnapshotFences, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Invalidate(t.Context(), client.Invalidation{Tags: []string{"tag:3"}}); err != nil {
		t.Fatal(err)
	}
	b := open("node-b")
	if b.Beginning().Snapshot == nil {
		t.Fatalf("node-b began without the snapshot: %v", b.Beginning().Refused)
	}
	there := func() (n int) {
		for i := range 100 {
			if _, err := b.Node().Get(t.Context(), fmt.Sprint("key:", i), nil, node.ReadOptions{}); err == nil {
				n++
			}
		}
		return n
	}
	if n := there(); n != 0 {
		t.Fatalf("%d values are there already", n)
	}
	out := must(t, "replay", "--into", "node:node-b")
	if n := there(); n != 90 || !strings.Contains(out, "90 values offered to node-b") {
		t.Errorf("%d values are there:\n%s", n, out)
	}
}
