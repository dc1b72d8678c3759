package fleet_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

// binaries builds what a fleet is made of.
func binaries(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "../../../cmd/node", "../../../cmd/invalidator", "../../../cmd/warmer")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return dir
}

const rules = "version: 1\nrules:\n  - name: changed\n    match: {type: changed}\n    keys: ['{data.key}']\n"

// A whole fleet starts; a link is cut in each direction and healed; a node is
// killed and comes back.
func TestFleetIsCutAndKilled(t *testing.T) {
	bin := binaries(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f, err := fleet.Start(ctx, fleet.Config{Dir: filepath.Join(t.TempDir(), "fleet"), Bin: bin, Rules: []byte(rules)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			log, _ := os.ReadFile(f.Log("node-a"))
			t.Logf("node-a said\n%s", log)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"node-a|nats", "node-a|redis", "nats-0|nats-1", "invalidator-a|nats-2"} {
		l, err := f.Link(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []fleet.Direction{fleet.Forward, fleet.Back, fleet.Both} {
			if n, all := l.Passes(ctx, 2*time.Second); n != all || all == 0 {
				t.Errorf("%s: %d of %d paths answer before it is cut", name, n, all)
			}
			if err := l.Cut(d); err != nil {
				t.Fatal(err)
			}
			if n, _ := l.Passes(ctx, 200*time.Millisecond); n != 0 {
				t.Errorf("%s: %d paths answer while it is cut %s", name, n, d)
			}
			if err := l.Heal(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.AwaitNATS(ctx); err != nil {
		t.Fatal(err)
	}
	was, err := f.Kill("node-b")
	if err != nil || was == 0 {
		t.Fatalf("killed %d: %v", was, err)
	}
	if err := f.Start("node-b"); err != nil {
		t.Fatal(err)
	}
	if err := f.Await(ctx, "node-b"); err != nil {
		t.Fatal(err)
	}
	if n := len(f.Nodes()); n != 3 || f.Pid("node-b") == was {
		t.Errorf("%d nodes, node-b's id %d as before", n, was)
	}
	if d := f.Deaths(); len(d) > 0 {
		t.Errorf("processes ended by themselves: %v", d)
	}
}
