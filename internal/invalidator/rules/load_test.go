package rules_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../../examples/rules/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set, err := rules.Parse(file, text, rules.Options{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if set.Len() == 0 {
			t.Errorf("%s: no rules", file)
		}
	}
}

// faulty is a rule file with one fault, and where and how it is reported.
type faulty struct {
	text         string
	line, column int
	says         string // within the message
}

func faultyFiles() map[string]faulty {
	rule := func(line string) string {
		return "domains: [shop]\nrules:\n  - name: r\n    match: {type: t}\n    " + line + "\n"
	}
	return map[string]faulty{
		"unknown field":                {rule(`prefix: "a:"`), 5, 5, `no field "prefix" (did you mean "prefixes"?)`},
		"unknown field of match":       {rule("keys: k\n    match: {tpye: t}"), 6, 5, `"match" stands twice`},
		"misspelt match":               {"rules:\n- {name: r, match: {tabel: t}, keys: k}", 2, 21, `(did you mean "table"?)`},
		"misspelt top":                 {"rulez: []", 1, 1, `(did you mean "rules"?)`},
		"far from any name":            {rule(`zzzzzzzzzz: 1`), 5, 5, `no field "zzzzzzzzzz"`},
		"empty prefix":                 {rule(`prefixes: ""`), 5, 15, "all: true"},
		"empty prefix in a list":       {rule(`prefixes: ["a:", ""]`), 5, 22, "all: true"},
		"null key":                     {rule(`keys: ~`), 5, 11, "have nothing"},
		"empty list":                   {rule(`keys: []`), 5, 11, "empty list"},
		"unquoted template":            {rule(`keys: [{data.id}]`), 5, 12, "needs quotes"},
		"prefix without separator":     {rule(`prefixes: "a"`), 5, 15, `as in "a:"`},
		"prefix ends with a field":     {rule(`prefixes: "a:{data.id}"`), 5, 15, "ends with"},
		"glob of everything":           {rule(`globs: "**"`), 5, 12, "all: true"},
		"glob with lone escape":        {rule(`globs: 'a\'`), 5, 12, "escape"},
		"open brace":                   {rule(`keys: "a{data.id"`), 5, 11, "without '}'"},
		"stray brace":                  {rule(`keys: "a}b"`), 5, 11, "without '{'"},
		"unknown root":                 {rule(`keys: "{dat.id}"`), 5, 11, `did you mean "data"?`},
		"bare field":                   {rule(`keys: "{product_number}"`), 5, 11, "{data.product_number}"},
		"empty field":                  {rule(`keys: "{}"`), 5, 11, "names joined by dots"},
		"bad index":                    {rule(`keys: "{data.a[x]}"`), 5, 11, "no index"},
		"operation":                    {rule("keys: k\n    domains: [shop]\n  - {name: q, match: {operation: delte}, keys: k}"), 7, 34, `did you mean "delete"?`},
		"domain":                       {rule("keys: k\n    domains: [Shop]"), 6, 15, "domain name"},
		"all":                          {rule(`all: 1`), 5, 10, "true or false"},
		"condition":                    {rule("keys: k\n    when: data.x >"), 6, 11, "expression"},
		"condition of no bool":         {rule("keys: k\n    when: '1 + 1'"), 6, 11, "want bool"},
		"unknown variable":             {rule("keys: k\n    when: dta.x == 1"), 6, 11, "dta"},
		"list of ints":                 {rule("keys_cel: '[1, 2]'"), 5, 15, "want list(string)"},
		"CEL list of nothing":          {rule("keys_cel: '[]'"), 5, 15, "always empty"},
		"CEL empty name":               {rule(`prefixes_cel: '["a:", ""]'`), 5, 19, "empty"},
		"CEL glob of everything":       {rule(`globs_cel: '["*"]'`), 5, 16, "all: true"},
		"CEL prefix without separator": {rule(`prefixes_cel: '["a"]'`), 5, 19, "a prefix ends with"},
		"reach of nothing":             {rule("keys: k\n    reach: {}"), 6, 12, "covers nothing"},
		"reach without separator":      {rule("keys: k\n    reach: {prefixes: a}"), 6, 23, "prefix"},
		"no output":                    {rule(`warm: true`), 3, 5, "names nothing"},
		"no match":                     {"domains: [a]\nrules: [{name: r, keys: k}]", 2, 9, "matches nothing in particular"},
		"no name":                      {"domains: [a]\nrules: [{match: {type: t}, keys: k}]", 2, 9, "without a name"},
		"no domain":                    {"rules: [{name: r, match: {type: t}, keys: k}]", 1, 9, "no domain"},
		"same name":                    {rule("keys: k\n  - {name: r, match: {type: t}, keys: k}"), 6, 5, "line 3"},
		"settle without unit":          {rule("keys: k\n    settle: 2"), 6, 13, "with its unit: 2ms or 2s"},
		"settle too long":              {rule("keys: k\n    settle: 1h"), 6, 13, "want 10ms to 10m0s"},
		"negative coalesce":            {rule("keys: k\n    coalesce: -1s"), 6, 15, "want 1ms to 10s"},
		"everywhere":                   {rule("keys: k\n    everywhere: yes please"), 6, 17, "true or false"},
		"limit of nothing":             {rule("keys: k\n    limit: {}"), 6, 12, "limits nothing"},
		"limit of zero":                {rule("keys: k\n    limit: {names_per_minute: 0}"), 6, 31, "from 1 to"},
		"misspelt limit":               {rule("keys: k\n    limit: {name_per_minute: 1}"), 6, 13, `did you mean "names_per_minute"?`},
		"limit of many per event":      {rule("keys: k\n    limit: {names_per_event: 9000}"), 6, 30, "8192"},
		"limit then what":              {rule("keys: k\n    limit: {names_per_event: 1, then: parc}"), 6, 39, `did you mean "park"?`},
		"coarse without reach":         {rule("tags: '{data.t}'\n    limit: {broad_per_minute: 1, then: coarse}"), 6, 12, "declare a `reach`"},
		"limit of all rules":           {"limit: {then: park}\nrules: [{name: r, match: {type: t}, keys: k}]", 1, 8, "limits nothing"},
		"position of several":          {rule("keys: k\n    position: '{data.lsn[]}'"), 6, 15, "a position is one"},
		"position of all events":       {rule("keys: k\n    position: 'lsn:1'"), 6, 15, "same for every event"},
		"reach of every key":           {rule("keys: k\n    reach: {globs: '*'}"), 6, 20, "all: true"},
		"version":                      {"version: 2\nrules: []", 1, 10, "version 1"},
		"no rules":                     {"domains: [a]", 1, 1, "no rules"},
		"empty file":                   {"# nothing", 1, 1, "empty"},
		"no mapping":                   {"- a", 1, 1, "want a mapping"},
		"rules are no list":            {"rules: {}", 1, 8, "want a list"},
		"no YAML":                      {"rules:\n  - a: [\n", 2, 1, "yaml"},
	}
}

func TestFaults(t *testing.T) {
	for name, c := range faultyFiles() {
		t.Run(name, func(t *testing.T) {
			set, err := rules.Parse("shop.yaml", []byte(c.text), rules.Options{})
			var fault *rules.LoadError
			if set != nil || !errors.Is(err, rules.ErrInvalid) || !errors.As(err, &fault) {
				t.Fatalf("Parse = %v, %v; want a *LoadError", set, err)
			}
			if fault.File != "shop.yaml" || fault.Line != c.line || fault.Column != c.column || !strings.Contains(fault.Error(), c.says) {
				t.Errorf("have %v\nwant shop.yaml:%d:%d: … %s …", fault, c.line, c.column, c.says)
			}
		})
	}
}

func TestAllFaultsAreReported(t *testing.T) {
	_, err := rules.Parse("f", []byte("rules:\n- {name: a, kyes: k}\n- {name: b, match: {type: t}, keys: '{x}', tags: ''}"), rules.Options{})
	for _, at := range []string{"f:2:13", "f:3:37", "f:3:50"} {
		if !strings.Contains(err.Error(), at) {
			t.Errorf("%v\nlacks %s", err, at)
		}
	}
}

func TestDefaultDomains(t *testing.T) {
	set, err := rules.Parse("f", []byte("rules: [{name: r, match: {type: t}, keys: k}]"), rules.Options{Domains: []string{"main"}})
	if err != nil || len(set.Domains()) != 1 || set.Domains()[0] != "main" {
		t.Errorf("%v, %v", set, err)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../../../examples/rules/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("a: &a [*a]\nrules: *a")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := rules.Parse("f", []byte(text), rules.Options{})
		if (set == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", set, err)
		}
		if err != nil && !errors.Is(err, rules.ErrInvalid) {
			t.Errorf("%v is no *LoadError", err)
		}
	})
}
