package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(rules.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("rules.schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree reads YAML as a validator for JSON wants it; false: there is no such
// reading.
func tree(n *yaml.Node, depth int) (any, bool) {
	if depth > 32 {
		return nil, false
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return tree(n.Content[0], depth+1)
	case yaml.AliasNode:
		return tree(n.Alias, depth+1)
	case yaml.SequenceNode:
		all := make([]any, len(n.Content))
		for i, item := range n.Content {
			var ok bool
			if all[i], ok = tree(item, depth+1); !ok {
				return nil, false
			}
		}
		return all, true
	case yaml.MappingNode:
		all := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, ok := tree(n.Content[i+1], depth+1)
			if !ok {
				return nil, false
			}
			all[n.Content[i].Value] = v
		}
		return all, true
	}
	switch n.Tag {
	case "!!int", "!!float", "!!bool", "!!null":
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, false
		}
		return v, true
	}
	return n.Value, true
}

func validate(s *jsonschema.Schema, text string) (valid, readable bool) {
	var document yaml.Node
	if yaml.Unmarshal([]byte(text), &document) != nil || len(document.Content) == 0 {
		return false, false
	}
	v, ok := tree(&document, 0)
	if !ok {
		return false, false
	}
	return s.Validate(v) == nil, true
}

func TestSchemaIsShipped(t *testing.T) {
	shipped, err := os.ReadFile("../../../docs/rules.schema.json")
	if err != nil || string(shipped) != rules.Schema() {
		t.Errorf("docs/rules.schema.json is not what `tercet rules schema` prints: %v", err)
	}
}

func TestSchemaTakesTheExamples(t *testing.T) {
	s := compileSchema(t)
	files, err := filepath.Glob("../../../examples/rules/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if valid, _ := validate(s, string(text)); !valid {
			t.Errorf("%s: refused", file)
		}
	}
}

// beyond are the faults that only the loader finds: they lie within texts, or
// between fields.
var beyond = []string{
	"glob with lone escape", "open brace", "stray brace", "unknown root", "bare field", "empty field", "bad index",
	"condition", "condition of no bool", "unknown variable", "list of ints", "no domain", "same name",
	"settle too long", "coarse without reach", "position of several",
	"CEL list of nothing", "CEL empty name", "CEL glob of everything", "CEL prefix without separator",
	"no YAML", "empty file", // not even a value
}

// TestSchemaRefusesWhatTheLoaderDoes goes through the loader's table of faults.
func TestSchemaRefusesWhatTheLoaderDoes(t *testing.T) {
	s := compileSchema(t)
	for name, c := range faultyFiles() {
		if valid, readable := validate(s, c.text); readable && valid != slices.Contains(beyond, name) {
			t.Errorf("%s: the schema takes it: %v", name, valid)
		}
	}
}

// FuzzSchema: what the loader takes, the schema takes.
func FuzzSchema(f *testing.F) {
	files, _ := filepath.Glob("../../../examples/rules/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, c := range faultyFiles() {
		f.Add(c.text)
	}
	f.Add("domains: d\nlimit: {broad_per_minute: 1}\nrules:\n- {name: 5, match: {operation: read, type: [1, true]}, globs: 7, settle: 1m0.5s, coalesce: 1ms, everywhere: true}")
	f.Add("rules:\n- {name: a, match: {type: '*'}, domains: [d], all: true, position: 'lsn:{data.l}', reach: {all: true}, warm: true, soft: false}")
	s := compileSchema(f)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := rules.Parse("f", []byte(text), rules.Options{Domains: []string{"shop"}}); err != nil {
			return
		}
		if valid, readable := validate(s, text); readable && !valid {
			t.Errorf("the schema refuses what the loader takes:\n%s", text)
		}
	})
}
