package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/pkg/client"
)

// snapshotted is a domain with a node that has made snapshots, in the environment
// of the command line.
func snapshotted(t *testing.T) (n *client.Client, dir string) {
	t.Helper()
	server := environment(t)
	dir = t.TempDir()
	t.Setenv("TERCET_SNAPSHOT_DIR", dir)
	store, err := client.SnapshotDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := client.DefaultSettings()
	s.Lease, s.Partitions = 2*time.Second, 2
	n, err = client.Open(t.Context(), client.Config{
		Domain: "shop", NATSURL: server.URL(), DataDir: t.TempDir(), NodeID: "a", Create: true, Settings: &s, L1Size: 1 << 20,
		Snapshots: store, SnapshotRate: -1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return n, dir
}

func makeOne(t *testing.T, n *client.Client, key, value string, base *client.Snapshot) client.Snapshot {
	t.Helper()
	if _, err := n.Set(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
	m, err := n.CreateSnapshot(t.Context(), client.SnapshotFull, base)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSnapshotsAreLookedAfter(t *testing.T) {
	n, dir := snapshotted(t)
	first := makeOne(t, n, "k", "v1", nil)
	second := makeOne(t, n, "l", "v2", &first)
	var l snapshotList
	if err := json.Unmarshal([]byte(must(t, "snapshot", "list", "--json")), &l); err != nil {
		t.Fatal(err)
	}
	if len(l.Snapshots) != 2 || l.Snapshots[0].ID != second.ID || l.Snapshots[0].Base != first.ID {
		t.Errorf("%+v", l)
	}
	if out := must(t, "snapshot", "list"); !strings.Contains(out, first.ID) || !strings.Contains(out, "VALUES") {
		t.Error(out)
	}
	if out := must(t, "snapshot", "verify"); strings.Count(out, "is whole") != 2 {
		t.Error(out)
	}
	if out := must(t, "snapshot", "diff", first.ID, second.ID, "--names"); !strings.Contains(out, `+ key "l" of partition`) || strings.Contains(out, `"k"`) {
		t.Error(out)
	}
	if out := must(t, "snapshot", "prune", "--snapshots-last", "1"); out != "" { // the base of the one that is kept
		t.Error(out)
	}
	third := makeOne(t, n, "m", "v3", nil)
	if out := must(t, "snapshot", "prune", "--snapshots-last", "1", "--dry-run"); out != second.ID+"\n"+first.ID+"\n" {
		t.Error(out)
	}
	must(t, "snapshot", "prune", "--snapshots-last", "1")
	data := filepath.Join(dir, "shop", third.ID+".data")
	if err := os.Truncate(data, third.Size-1); err != nil {
		t.Fatal(err)
	}
	if _, problem, code := cli(t, "", "snapshot", "verify"); code != codeFailed || !strings.Contains(problem, snapshot.ErrTorn.Error()) {
		t.Errorf("code %d: %s", code, problem)
	}
	if _, _, code := cli(t, "", "snapshot", "verify", second.ID); code == codeDone {
		t.Error("a snapshot that was pruned is whole")
	}
}

func TestSnapshotIsRestored(t *testing.T) {
	n, dir := snapshotted(t)
	makeOne(t, n, "k", "v1", nil)
	torn := makeOne(t, n, "l", "v2", nil)
	if err := os.Truncate(filepath.Join(dir, "shop", torn.ID+".data"), 20); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Set(t.Context(), "k", []byte("v3")); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	if _, problem, code := cli(t, "", "snapshot", "restore"); code != codeUsage || !strings.Contains(problem, "data-dir") {
		t.Errorf("without a directory: code %d: %s", code, problem)
	}
	out, problem, code := cli(t, "", "snapshot", "restore", "--data-dir", data)
	if code != codeDone || !strings.Contains(out, "restored") || !strings.Contains(problem, torn.ID) {
		t.Fatalf("code %d: %s%s", code, out, problem)
	}
	b, err := client.Open(t.Context(), client.Config{
		Domain: "shop", NATSURL: os.Getenv("TERCET_NATS_URL"), DataDir: data, NodeID: "b", L1Size: 1 << 20, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for key, want := range map[string]string{"k": "v3", "l": "v2"} {
		if v, err := b.Get(t.Context(), key); err != nil || string(v.Bytes) != want {
			t.Errorf("%s: %q, %v, want %s", key, v.Bytes, err, want)
		}
	}
	if _, problem, code := cli(t, "", "snapshot", "restore", "--data-dir", data); code == codeDone || !strings.Contains(problem, "in use") {
		t.Errorf("into a running node: code %d: %s", code, problem)
	}
}
