package scenario_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fault"
	"github.com/raptorflow/tercet/test/chaos/scenario"
)

// What ships can be read, and between them the scenarios inject every fault.
func TestLibrary(t *testing.T) {
	used, fixed, rotated := map[string]bool{}, map[string]bool{}, map[string]bool{}
	var whole time.Duration
	for _, name := range scenario.Names() {
		s, err := scenario.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name {
			t.Errorf("%s.yaml calls itself %s", name, s.Name)
		}
		for _, f := range append(s.Faults, s.Rotation.Faults...) {
			used[f.Fault] = true
			fixed[f.Fault] = fixed[f.Fault] || slices.Contains(scenario.Fixed(), name)
			rotated[f.Fault] = rotated[f.Fault] || name == "soak"
		}
		if slices.Contains(scenario.Fixed(), name) {
			whole += s.Duration
		}
	}
	for _, k := range fault.Kinds() {
		if !used[k.Name] {
			t.Errorf("no scenario injects %s", k.Name)
		}
		if !fixed[k.Name] {
			t.Errorf("make chaos does not inject %s", k.Name)
		}
		if !rotated[k.Name] {
			t.Errorf("make soak does not inject %s", k.Name)
		}
	}
	// Starting, settling and judging take a quarter of a minute for each.
	if whole += time.Duration(len(scenario.Fixed())) * 15 * time.Second; whole > 10*time.Minute {
		t.Errorf("make chaos takes %v, want at most ten minutes", whole)
	}
}

// A mistake is told with its line.
func TestMistakes(t *testing.T) {
	const head = "name: a\nwhy: b\nduration: 10s\nfaults:\n"
	for name, c := range map[string]struct {
		text string
		line int
	}{
		"no such fault":     {head + "  - {fault: kill, target: any node}\n  - {fault: shout, target: any node}\n", 6},
		"no target":         {head + "  - {fault: kill}\n", 5},
		"no such parameter": {head + "  - {fault: cut, target: a|b, with: {colour: red}}\n", 5},
		"after the end":     {head + "  - fault: kill\n    target: any node\n    at: 11s\n", 7},
		"negative":          {head + "  - {fault: kill, target: any node, for: -1s}\n", 5},
		"no such hosts":     {"name: a\nwhy: b\nduration: 10s\nfleet:\n  hosts: elsewhere\n", 5},
		"no such epoch":     {"name: a\nwhy: b\nduration: 10s\nexpect:\n  epoch: perhaps\n", 5},
	} {
		_, err := scenario.Parse("a.yaml", []byte(c.text))
		var wrong *scenario.Error
		if !errors.As(err, &wrong) || wrong.Line != c.line || wrong.File != "a.yaml" {
			t.Errorf("%s: %v, want line %d", name, err, c.line)
		}
	}
	if _, err := scenario.Parse("a.yaml", []byte("nam: a\n")); err == nil {
		t.Error("a key that is not known was taken")
	}
	if _, err := scenario.Load("nothing"); !errors.Is(err, scenario.ErrUnknown) {
		t.Errorf("%v, want %v", err, scenario.ErrUnknown)
	}
}

// A longer run has its faults further apart.
func TestLast(t *testing.T) {
	s, err := scenario.Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	at := s.Faults[1].At
	s.Last(2 * s.Duration)
	if got := s.Faults[1].At; got != 2*at || s.Duration != 50*time.Second {
		t.Errorf("its second fault is at %v of %v", got, s.Duration)
	}
}
