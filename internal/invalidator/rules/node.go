package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// fields maps a mapping's known fields to what reads them.
type fields map[string]func(*yaml.Node)

// mapping reads each field of n by its reader and refuses those that are not
// known or stand twice.
func (l *loader) mapping(n *yaml.Node, what string, known fields) {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		l.fail(n, "%s: want a mapping, have %s", what, kindOf(n))
		return
	}
	if l.vocabulary != nil {
		l.vocabulary[what] = slices.Sorted(maps.Keys(known))
	}
	seen := make(map[string]bool, len(known))
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], resolve(n.Content[i+1])
		read, ok := known[name.Value]
		switch {
		case !ok:
			hint := nearest(name.Value, slices.Sorted(maps.Keys(known)))
			l.failAt(name.Line, name.Column, hint, "%s has no field %q", what, name.Value)
		case seen[name.Value]:
			l.fail(name, "%s: field %q stands twice", what, name.Value)
		default:
			seen[name.Value] = true
			read(value)
		}
	}
}

func (l *loader) sequence(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		l.fail(n, "%s: want a list, have %s", what, kindOf(n))
		return nil
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		items[i] = resolve(item)
	}
	return items
}

// located is a text and where it stands.
type located struct {
	text string
	node *yaml.Node
}

func values(list []located) []string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = t.text
	}
	return texts
}

// texts reads one text or a list of them, none of which is empty.
func (l *loader) texts(n *yaml.Node, what string) []located {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		if items = l.sequence(n, what); len(items) == 0 {
			l.fail(n, "%s: an empty list; leave the field out instead", what)
		}
	}
	list := make([]located, 0, len(items))
	for _, item := range items {
		before := len(l.faults)
		if t := l.text(item, what); len(l.faults) == before {
			list = append(list, located{t, item})
		}
	}
	return list
}

// text reads a text that is not empty.
func (l *loader) text(n *yaml.Node, what string) string {
	switch {
	case n.Kind == yaml.MappingNode:
		l.failAt(n.Line, n.Column, "a template that begins with '{' needs quotes", "%s: want a text, have a mapping", what)
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		l.fail(n, "%s: want a text, have %s", what, kindOf(n))
	case n.Value == "":
		l.failAt(n.Line, n.Column, "to clear the whole domain say `all: true`", "%s: empty", what)
	}
	return n.Value
}

func (l *loader) bool(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		l.fail(n, "%s: want true or false, have %s", what, kindOf(n))
		return false
	}
	return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
}

// resolve follows an alias to its anchor. The readers visit nodes to a fixed
// depth, so that aliases can't multiply without end.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return fmt.Sprintf("%q", n.Value)
	}
	return "something else"
}

func (l *loader) fail(n *yaml.Node, format string, args ...any) {
	l.failAt(n.Line, n.Column, "", format, args...)
}

func (l *loader) failAt(line, column int, hint, format string, args ...any) {
	l.faults = append(l.faults, &LoadError{
		File: l.file, Line: line, Column: column, Detail: fmt.Sprintf(format, args...), Suggestion: hint,
	})
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// failYAML reports text that is no YAML. The parser says where only in words;
// they serve for the line, never for a decision.
func (l *loader) failYAML(err error) {
	line := 1
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits, by the expression
	}
	l.failAt(line, 1, "", "%v", err)
}
