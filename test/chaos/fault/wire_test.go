package fault_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fault"
	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/wire"
)

const rules = "version: 1\nrules:\n  - name: changed\n    match: {type: changed}\n    keys: ['{data.key}']\n"

// A node whose cable is out for long enough that its pings have found out is
// soon ready once the cable is in again: it must not wait for a connection that
// nobody else remembers, nor for an answer to a question that was lost.
func TestUnpluggedNodeComesBack(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "../../../cmd/node", "../../../cmd/invalidator", "../../../cmd/warmer")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	shape := fleet.Shape{NATS: 1, Redis: "none", Nodes: 1, Invalidators: 1, Warmers: 1, Hosts: fleet.Namespaces}
	f, err := fleet.Start(ctx, fleet.Config{Dir: filepath.Join(t.TempDir(), "fleet"), Bin: bin, Shape: shape, Rules: []byte(rules)})
	if errors.Is(err, wire.ErrNotPermitted) {
		var told *wire.Error
		if !errors.As(err, &told) || told.Hint == "" {
			t.Errorf("%v does not say what to do", err)
		}
		return
	}
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
	kind, _ := fault.Find("unplug")
	// Who shares the harness's host has no cable to pull.
	if _, err := fault.Inject(ctx, kind, fault.Scene{Fleet: f, Target: "warmer-a"}); !errors.Is(err, fault.ErrNotHere) {
		t.Errorf("a warmer was unplugged: %v, want %v", err, fault.ErrNotHere)
	}
	in, err := fault.Inject(ctx, kind, fault.Scene{Fleet: f, Target: "node-a"})
	if err != nil || in.Proof == "" {
		t.Fatalf("proof %q, %v", in.Proof, err)
	}
	if err := f.Ready(ctx, "node-a"); err == nil {
		t.Error("it answers without a cable")
	}
	// Five seconds between pings, of which two may be lost.
	if err := fault.Wait(ctx, 17*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := in.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := f.AwaitReady(ctx, "node-a"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it was ready %v after the cable was in", took)
	}
}
