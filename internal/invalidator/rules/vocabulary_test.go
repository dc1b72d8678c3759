package rules

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestSchemaHasTheLoadersWords holds the schema's fields to those that the
// loader knows.
func TestSchemaHasTheLoadersWords(t *testing.T) {
	env, err := newEnv()
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(`rules: [{match: {}, limit: {}, reach: {}}]`), &document); err != nil {
		t.Fatal(err)
	}
	l := &loader{env: env, vocabulary: map[string][]string{}}
	l.load(document.Content[0], nil)

	type object struct {
		Properties map[string]any
	}
	var s struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(Schema()), &s); err != nil {
		t.Fatal(err)
	}
	for what, o := range map[string]object{
		"a rule file": s.object, "a rule": s.Defs["rule"], "match": s.Defs["match"], "limit": s.Defs["limit"], "reach": s.Defs["reach"],
	} {
		if have := slices.Sorted(maps.Keys(o.Properties)); !slices.Equal(have, l.vocabulary[what]) {
			t.Errorf("of %s the schema knows %v, the loader %v", what, have, l.vocabulary[what])
		}
		delete(l.vocabulary, what)
	}
	if len(l.vocabulary) > 0 {
		t.Errorf("the schema says nothing of %v", l.vocabulary)
	}
}
