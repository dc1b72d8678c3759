package scenario

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/raptorflow/tercet/test/chaos/fault"
	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/judge"
)

//go:embed library/*.yaml
var library embed.FS

// Names are the scenarios that ship.
func Names() []string {
	files, err := library.ReadDir("library")
	if err != nil {
		panic(err) // it is part of the program
	}
	var all []string
	for _, f := range files {
		all = append(all, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return all
}

// ErrUnknown reports a scenario that there is not.
var ErrUnknown = errors.New("no such scenario")

// Load reads a scenario by its name, or a file by its path.
func Load(name string) (*Scenario, error) {
	if strings.ContainsAny(name, "/.") {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return Parse(name, text)
	}
	file := path.Join("library", name+".yaml")
	text, err := library.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %q; there are %s", ErrUnknown, name, strings.Join(Names(), ", "))
	}
	return Parse(file, text)
}

// Error is a mistake in a scenario.
type Error struct {
	File string
	Line int // 0: of the whole
	What string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.What)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
}

// Parse reads a scenario. Errors are *[Error], or the decoder's with file and
// line.
func Parse(file string, text []byte) (*Scenario, error) {
	var s Scenario
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		// The decoder says "yaml: line 3: …" or, for several, lists them.
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s.Fleet.Fill()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, m := range s.mistakes() {
		return nil, &Error{File: file, Line: lineOf(&doc, m.at), What: m.what}
	}
	return &s, nil
}

type mistake struct {
	at   []any // keys and indices down to the node
	what string
}

func (s *Scenario) mistakes() (out []mistake) {
	wrong := func(what string, at ...any) { out = append(out, mistake{at, what}) }
	if s.Name == "" || s.Why == "" {
		wrong("a scenario has a name and says why it is there")
	}
	if s.Duration <= 0 {
		wrong("a scenario has a duration", "duration")
	}
	if !slices.Contains([]string{"", "never", "allowed", "required"}, s.Expect.Epoch) {
		wrong("epoch is never, allowed or required", "expect", "epoch")
	}
	if !slices.Contains([]string{fleet.Loopback, fleet.Namespaces}, s.Fleet.Hosts) {
		wrong("hosts are on loopback, or in namespaces", "fleet", "hosts")
	}
	for _, j := range s.Expect.Judges {
		if !slices.Contains(judge.Names(), j) {
			wrong(fmt.Sprintf("no judge is called %q; there are %s", j, strings.Join(judge.Names(), ", ")), "expect", "judges")
		}
	}
	for i, f := range s.Faults {
		for _, what := range f.mistakes() {
			wrong(what, "faults", i)
		}
		if f.At >= s.Duration {
			wrong("it would begin after the run has ended", "faults", i, "at")
		}
	}
	for i, f := range s.Rotation.Faults {
		for _, what := range f.mistakes() {
			wrong(what, "rotation", "faults", i)
		}
		if f.At != 0 || f.Every != 0 || f.Jitter != 0 {
			wrong("a rotation has its own times", "rotation", "faults", i)
		}
	}
	return out
}

func (f Fault) mistakes() (out []string) {
	k, ok := fault.Find(f.Fault)
	if !ok {
		return []string{fmt.Sprintf("no fault is called %q", f.Fault)}
	}
	if f.Target == "" {
		out = append(out, fmt.Sprintf("%s has a target: %s", f.Fault, k.Target))
	}
	if f.At < 0 || f.For < 0 || f.Every < 0 || f.Jitter < 0 {
		out = append(out, "times are not negative")
	}
	for name := range f.With {
		if _, known := k.With[name]; !known {
			out = append(out, fmt.Sprintf("%s has no parameter %q", f.Fault, name))
		}
	}
	return out
}

// lineOf finds the line of a node by its keys and indices, or of the last of
// them that is there.
func lineOf(n *yaml.Node, at []any) int {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if len(at) == 0 {
		return n.Line
	}
	switch step := at[0].(type) {
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return lineOf(n.Content[step], at[1:])
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return lineOf(n.Content[i+1], at[1:])
			}
		}
	}
	return n.Line
}

// Fixed are the scenarios of `make chaos`: between them they inject every fault,
// in ten minutes. What is in smoke is in others too, and the soak has no end.
func Fixed() []string {
	return []string{"processes", "links", "wire", "history", "redis", "redis-cluster", "disks", "pressure"}
}
