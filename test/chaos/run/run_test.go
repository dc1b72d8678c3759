package run_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/raptorflow/tercet/test/chaos/run"
	"github.com/raptorflow/tercet/test/chaos/scenario"
)

// The short scenario runs from its start to its verdicts, and all are content.
func TestSmoke(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "../../../cmd/node", "../../../cmd/invalidator", "../../../cmd/warmer")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	// As make chaos names them: seen from here, not from where they run.
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if bin, err = filepath.Rel(here, bin); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	o, err := run.Play(t.Context(), run.Config{
		Scenario: s, Seed: 1, Dir: filepath.Join(t.TempDir(), "run"), Bin: bin, Out: t.Output(), Rerun: "go test -run TestSmoke ./test/chaos/run",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !o.Failed() {
		return
	}
	for _, f := range o.Case.Faults {
		if f.Missing != "" {
			t.Errorf("%s %s was not injected: %s", f.Kind, f.Target, f.Missing)
		}
	}
	for _, v := range o.Verdicts {
		if v.Failed() {
			t.Errorf("%s: %d judged, %d wrong: %s %s", v.Name, v.Judged, v.Violations, v.First, v.Idle)
		}
	}
	t.Errorf("trouble: %v", o.Trouble)
}
