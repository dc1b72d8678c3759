package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/invalidator/backtest"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const goodRules = `domains: [shop]
rules:
  - name: price
    match: {type: shop.price.*}
    when: data.price > 0
    keys: ["product:{data.id}:price"]
    settle: 2s
  - name: orders
    match: {table: orders}
    tags: ["order:{row.id}"]
`

func TestRulesCheck(t *testing.T) {
	good := writeFile(t, "good.yaml", goodRules)
	bad := writeFile(t, "bad.yaml", "rules:\n- {name: a, match: {tpye: t}, keys: k}\n- {name: b, match: {type: t}, prefixes: ''}\n")
	out := must(t, "rules", "check", good)
	if !strings.Contains(out, "2 rules for shop: valid") || !strings.Contains(out, `warning: rule "orders"`) {
		t.Error(out)
	}
	if _, _, code := cli(t, "", "rules", "check", "--strict", good); code != codeFailed {
		t.Errorf("strict: code %d", code)
	}
	out, _, code := cli(t, "", "rules", "check", good, bad, "--json")
	var view checked
	if err := json.Unmarshal([]byte(out), &view); err != nil {
		t.Fatal(err)
	}
	if code != codeFailed || view.Valid || len(view.Faults) != 2 || view.Faults[0].Line != 2 || view.Faults[0].Column != 21 ||
		view.Faults[0].Suggestion != `did you mean "type"?` || view.Faults[1].Line != 3 {
		t.Errorf("code %d, %+v", code, view)
	}
	if out, _, _ := cli(t, "", "rules", "check", bad); !strings.Contains(out, bad+":3:") {
		t.Error(out)
	}
	if _, _, code := cli(t, "", "rules", "check"); code != codeUsage {
		t.Errorf("no file: code %d", code)
	}
	if _, _, code := cli(t, "", "rules", "check", "/does/not/exist"); code != codeUsage {
		t.Errorf("missing file: code %d", code)
	}
	if must(t, "rules", "schema") != rules.Schema() {
		t.Error("another schema")
	}
}

func TestRulesExplain(t *testing.T) {
	good := writeFile(t, "good.yaml", goodRules)
	explain := func(stdin string, more ...string) []explanationView {
		t.Helper()
		out, problem, code := cli(t, stdin, append([]string{"rules", "explain", "--rules", good, "--json"}, more...)...)
		if code != 0 {
			t.Fatalf("code %d, %s", code, problem)
		}
		var all []explanationView
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var v explanationView
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		return all
	}
	v := explain(`[{"specversion":"1.0","type":"shop.price.changed","source":"/s","id":"1","data":{"id":7,"price":5}},
		{"specversion":"1.0","type":"shop.price.changed","source":"/s","id":"2","data":{"id":7,"price":0}}]`)
	if len(v) != 2 || !v[0].Rules[0].Matched || !reflect.DeepEqual(v[0].Rules[0].Fence.Keys, []string{"product:7:price"}) ||
		!reflect.DeepEqual(v[0].Rules[0].Handling, []string{"again after 2s"}) || v[0].Rules[1].Mismatch != "table" {
		t.Errorf("%+v", v)
	}
	if r := v[1].Rules[0]; r.Matched || r.Mismatch != "when" || r.Why != "data.price > 0 is false" {
		t.Errorf("%+v", r)
	}
	pretty := "{\n  \"op\": \"u\",\n  \"source\": {\"connector\": \"mysql\", \"db\": \"shop\", \"table\": \"orders\"},\n  \"after\": {}\n}\n"
	v = explain(pretty+pretty, "--matching")
	if len(v) != 2 || len(v[0].Rules) != 1 || len(v[0].Rules[0].Faults) != 1 || v[0].Rules[0].Faults[0].Reached || v[0].Table != "shop.orders" {
		t.Errorf("%+v", v)
	}
	v = explain(`{"id":9,"price":1}`, "--header", "ce-specversion=1.0", "--header", "ce-id=1", "--header", "ce-source=/s", "--header", "CE-Type=shop.price.x", "--header", "content-type=application/json")
	if len(v) != 1 || v[0].Rules[0].Fence.Keys[0] != "product:9:price" {
		t.Errorf("binary: %+v", v)
	}
	out, problem, code := cli(t, `{"nothing":1}`, "rules", "explain", "--rules", good)
	if code != codeFailed || out != "" || !strings.Contains(problem, "specversion") {
		t.Errorf("code %d, %s%s", code, out, problem)
	}
	out, _, _ = cli(t, pretty, "rules", "explain", "--rules", good)
	for _, want := range []string{"update of shop.orders", "does not fit: type", "missing field row.id", "NOT known"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s\nlacks %q", out, want)
		}
	}
}

func TestRulesBacktest(t *testing.T) {
	environment(t)
	running := writeFile(t, "running.yaml", goodRules)
	candidate := writeFile(t, "candidate.yaml", strings.Replace(goodRules, `"product:{data.id}:price"`, `"product:{data.id}:price", "product:{data.id}:page"`, 1))
	var lines strings.Builder
	for i := range 50 {
		fmt.Fprintf(&lines, `{"specversion":"1.0","type":"shop.price.changed","source":"/s","id":"%d","data":{"id":%d,"price":%d}}`+"\n", i, i%10, i%2)
	}
	if _, problem, code := cli(t, lines.String(), "publish", "--create", "--file", "-"); code != 0 {
		t.Fatal(problem)
	}
	read := func(stdin string, more ...string) (r backtest.Report) {
		t.Helper()
		out, problem, code := cli(t, stdin, append([]string{"rules", "backtest", candidate, "--json"}, more...)...)
		if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil {
			t.Fatalf("code %d, %v, %s", code, err, problem)
		}
		return r
	}
	r := read("", "--rules", running)
	if r.Events != 50 || r.Candidate.Matched != 25 || r.Candidate.Fenced.Keys != 50 || r.Running.Fenced.Keys != 25 || r.Differences.Changed != 25 ||
		r.Differences.Same != 25 || r.Candidate.Distinct != 10 || r.From.IsZero() {
		t.Errorf("stream: %+v", r)
	}
	if r := read("", "--since", "1h", "--count", "20"); r.Events != 20 || r.Running != nil {
		t.Errorf("some: %+v", r)
	}
	if r := read(lines.String()+"nonsense\n"+strings.Repeat("x", maxEvent+1)+"\n", "--events", "-", "--rules", running); r.Events != 50 || r.Unreadable != 2 || r.Candidate.Rules[0].Matched != 25 {
		t.Errorf("file: %+v", r)
	}
	out := must(t, "rules", "backtest", candidate, "--rules", running)
	for _, want := range []string{"50 messages, 50 events", "fence something else", "+ \"shop key product:1:page\"", "BUSIEST MINUTE"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s\nlacks %q", out, want)
		}
	}
}

func TestEventFiles(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
		last error
	}{
		"lines":               {"{\"a\":1}\n\n{\"a\":2}\nnonsense\n", []string{`{"a":1}`, `{"a":2}`, "nonsense"}, io.EOF},
		"no end of line":      {`{"a":1}`, []string{`{"a":1}`}, io.EOF},
		"array":               {" [{\"a\":1},\n {\"a\":2}]\n", []string{`{"a":1}`, `{"a":2}`}, io.EOF},
		"arrays":              {`[{"a":1}] [] [{"a":2}]`, []string{`{"a":1}`, `{"a":2}`}, io.EOF},
		"array that ends":     {`[{"a":1},`, []string{`{"a":1}`}, errUnreadable},
		"array of nonsense":   {`[{"a":1} x]`, []string{`{"a":1}`}, errUnreadable},
		"behind an array":     {`[{"a":1}] 5`, []string{`{"a":1}`}, errUnreadable},
		"indented":            {"{\n \"a\":1\n}\n{\n \"a\":2}", []string{"{\n \"a\":1\n}", "{\n \"a\":2}"}, io.EOF},
		"indented and broken": {"{\n \"a\":", nil, errUnreadable},
		"nothing":             {"", nil, io.EOF},
	} {
		f := newEventFile(strings.NewReader(c.text), 0)
		var got []string
		var last error
		for last == nil {
			var body []byte
			if body, last = f.next(); last == nil {
				got = append(got, string(body))
			}
		}
		if !reflect.DeepEqual(got, c.want) || !errors.Is(last, c.last) {
			t.Errorf("%s: %q and %v, want %q and %v", name, got, last, c.want, c.last)
		}
	}
}

func TestPublishGoesOnWhereItEnded(t *testing.T) {
	environment(t)
	event := func(id string) string {
		return `{"specversion":"1.0","type":"t","source":"/s","id":"` + id + `"}`
	}
	batch := "[" + event("1") + "," + event("2") + "," + event("3") + "]"
	publish := func(stdin string, more ...string) (r published, code int) {
		t.Helper()
		out, problem, code := cli(t, stdin, append([]string{"publish", "--file", "-", "--json", "--create"}, more...)...)
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v, %s%s", err, out, problem)
		}
		return r, code
	}
	if r, code := publish(batch, "--skip", "1"); code != 0 || r.Read != 2 || r.Stored != 2 || r.Resume != 3 {
		t.Errorf("%d, %+v", code, r)
	}
	if r, code := publish(batch + " nonsense"); code != codeFailed || r.Stored != 3 || r.Repeated != 2 || r.Resume != 3 {
		t.Errorf("%d, %+v", code, r)
	}
	if r, _ := publish(batch, "--rate", "1000", "--to", "events.chosen"); r.Stored != 3 {
		t.Errorf("%+v", r)
	}
	if r, code := publish(event("9"), "--to", "nowhere", "--timeout", "2s"); code == 0 || r.Failed != 1 || r.Resume != 0 {
		t.Errorf("no stream: %d, %+v", code, r)
	}
}
