package rules

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of rule files, for editors.
// What it refuses, [Parse] refuses; Parse checks more, such as templates and
// expressions.
func Schema() string { return schema }
