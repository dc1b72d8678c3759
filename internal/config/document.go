package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is the YAML file. It parses for koanf, and unlike koanf's own
// parser it remembers lines, keeps scalars as they were written (007 is no
// number) and refuses keys that are unknown or stand twice.
type document struct {
	path  string
	lines map[string]int
	errs  []error
	found []KeyPolicy
}

func (d *document) place(key string) string { return d.at(d.lines[key]) }

func (d *document) at(line int) string { return fmt.Sprintf("%s:%d", d.path, line) }

// Unmarshal implements koanf.Parser. Values are strings or []string.
func (d *document) Unmarshal(b []byte) (map[string]any, error) {
	d.lines = make(map[string]int)
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, &Error{Where: d.path, Reason: strings.TrimPrefix(err.Error(), "yaml: "), Err: ErrFile}
	}
	if root.Kind == 0 {
		return nil, nil // an empty file
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, &Error{Where: d.at(top.Line), Reason: "want settings as name: value", Err: ErrFile}
	}
	return d.section(top, ""), nil
}

// Marshal implements koanf.Parser; nothing here writes YAML.
func (d *document) Marshal(map[string]any) ([]byte, error) {
	return nil, fmt.Errorf("writing YAML is not supported")
}

func (d *document) section(n *yaml.Node, path string) map[string]any {
	out := make(map[string]any)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], n.Content[i+1]
		key := name.Value
		if path != "" {
			key = path + "." + key
		}
		if first, twice := d.lines[key]; twice {
			d.bad(name.Line, key, ErrValue, fmt.Sprintf("stands in line %d already", first), "")
			continue
		}
		d.lines[key] = name.Line
		if key == policiesKey {
			d.policies(v)
			continue
		}
		switch d.shape(key) {
		case shapeSection:
			if v.Kind != yaml.MappingNode {
				d.bad(v.Line, key, ErrValue, "want a section with settings in it", "")
				continue
			}
			out[name.Value] = d.section(v, key)
		case shapeSetting:
			if value, ok := d.scalar(v, key); ok {
				out[name.Value] = value
			}
		case shapeUnknown:
			d.bad(name.Line, key, ErrUnknown, "", suggest(key, append(allKeys(), policiesKey)))
		}
	}
	return out
}

func (d *document) scalar(v *yaml.Node, key string) (any, bool) {
	switch {
	case v.Kind == yaml.ScalarNode && v.Tag != "!!null":
		return v.Value, true
	case v.Kind == yaml.SequenceNode:
		list := make([]string, 0, len(v.Content))
		for _, e := range v.Content {
			if e.Kind != yaml.ScalarNode || e.Tag == "!!null" {
				d.bad(e.Line, key, ErrValue, "want a list of plain values", "")
				return nil, false
			}
			list = append(list, e.Value)
		}
		return list, true
	}
	d.bad(v.Line, key, ErrValue, "want a value", `an empty one is written ""`)
	return nil, false
}

func (d *document) bad(line int, key string, err error, reason, hint string) {
	d.errs = append(d.errs, &Error{Where: d.at(line), Key: key, Reason: reason, Hint: hint, Err: err})
}

type shape int

const (
	shapeUnknown shape = iota
	shapeSection
	shapeSetting
)

func (*document) shape(key string) shape {
	for _, k := range allKeys() {
		switch {
		case k == key:
			return shapeSetting
		case strings.HasPrefix(k, key+"."):
			return shapeSection
		}
	}
	return shapeUnknown
}

func allKeys() []string {
	var keys []string
	for _, s := range settings(&Config{}) {
		keys = append(keys, s.key)
	}
	return keys
}
