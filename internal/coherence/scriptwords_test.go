package coherence_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// eachLine answers every line of a command's input with a line.
func eachLine(input string, answer func(words []string) string) string {
	var b strings.Builder
	for line := range strings.Lines(input) {
		if words := strings.Fields(line); len(words) > 0 {
			b.WriteString(answer(words) + "\n")
		}
	}
	return b.String()
}

// options reads name=value words; tags, of which there may be several, apart.
func options(words []string) (given map[string]string, tags []string) {
	given = map[string]string{}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if name == "tag" {
			tags = append(tags, value)
		}
		given[name] = value
	}
	return given, tags
}

func scope(words []string) (s events.Scope) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "key":
			s.Keys = append(s.Keys, value)
		case "tag":
			s.Tags = append(s.Tags, value)
		case "prefix":
			s.Prefixes = append(s.Prefixes, value)
		case "glob":
			s.Globs = append(s.Globs, value)
		case "all":
			s.All = true
		}
	}
	return s
}

func scopeText(s events.Scope) string {
	var b strings.Builder
	for _, part := range []struct {
		what  string
		names []string
	}{{"key", s.Keys}, {"tag", s.Tags}, {"prefix", s.Prefixes}, {"glob", s.Globs}} {
		for _, n := range part.names {
			fmt.Fprintf(&b, " %s=%s", part.what, n)
		}
	}
	if s.All {
		b.WriteString(" all")
	}
	return b.String()
}

func bracket(name string) (id events.BracketID) {
	copy(id[:], name)
	return id
}

// name is how a script speaks of an epoch: by the order in which it met them.
func (s *script) name(e events.Epoch) string {
	if e == 0 {
		return "none"
	}
	if s.epochs == nil {
		s.epochs = map[events.Epoch]string{}
	}
	if s.epochs[e] == "" {
		s.epochs[e] = string(rune('A' + len(s.epochs)))
	}
	return s.epochs[e]
}

func (s *script) epoch(name string) (events.Epoch, error) {
	for e, n := range s.epochs {
		if n == name {
			return e, nil
		}
	}
	if name == "none" {
		return 0, nil
	}
	return 0, fmt.Errorf("no epoch was met under the name %s", name)
}

// effects says what a node has to do after a record.
func (s *script) effects(e *coherence.Effects) string {
	var out []string
	if e.Void {
		out = append(out, "void")
	}
	for _, f := range e.Fences {
		out = append(out, fmt.Sprintf("%s %s", hardness(f.Hardness), f.Key))
	}
	for _, c := range e.Puts {
		out = append(out, "put "+c.Key)
	}
	for _, f := range e.Broad {
		if f.Fence == (coherence.Fence{}) {
			out = append(out, fmt.Sprintf("drop %v %q", f.Kind, f.Name))
		} else {
			out = append(out, fmt.Sprintf("%v %q hard %d soft %d", f.Kind, f.Name, f.Fence.Hard, f.Fence.Soft))
		}
	}
	for _, c := range e.Pulses {
		out = append(out, "pulse "+string(c.Node))
	}
	if e.Brackets {
		out = append(out, "brackets")
	}
	if len(out) == 0 {
		return " nothing"
	}
	// Globs are dropped in no particular order.
	if n := slices.IndexFunc(out, func(s string) bool { return strings.HasPrefix(s, "drop ") }); n >= 0 {
		slices.Sort(out[n:])
	}
	return " " + strings.Join(out, ", ")
}

func hardness(h coherence.Hardness) string {
	if h == coherence.Soft {
		return "soft"
	}
	return "fence"
}
