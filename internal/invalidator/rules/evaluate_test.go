package rules_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

func parse(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("test.yaml", []byte(text), rules.Options{Domains: []string{"shop"}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// one makes a set of one rule on events of type t.
func one(t testing.TB, body string) *rules.Set {
	t.Helper()
	return parse(t, "rules:\n  - name: r\n    match: {type: t}\n    "+strings.ReplaceAll(body, "\n", "\n    "))
}

func happened(t testing.TB, data string) *domainevent.Event {
	t.Helper()
	return read(t, `{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":"x","traceparent":"00-a","data":`+data+`}`)
}

func read(t testing.TB, body string) *domainevent.Event {
	t.Helper()
	all, err := domainevent.Decode(domainevent.Message{ID: "EVENTS/1", Channel: "events.t", Body: []byte(body)}, domainevent.Options{})
	if err != nil || len(all) != 1 {
		t.Fatalf("decode %s: %v", body, err)
	}
	return all[0]
}

// fence returns the one fence of an outcome.
func fence(t *testing.T, out rules.Outcome) *events.Invalidate {
	t.Helper()
	if len(out.Fences) != 1 || out.Fences[0].Domain != "shop" {
		t.Fatalf("fences %+v, want one for shop", out.Fences)
	}
	inv := out.Fences[0].Invalidate
	if err := inv.Scope.Validate(); err != nil {
		t.Errorf("the log would refuse the fence: %v", err)
	}
	return inv
}

func TestNames(t *testing.T) {
	for name, c := range map[string]struct {
		rule, data string
		want       events.Scope
	}{
		"field":           {`keys: "p:{data.id}:x"`, `{"id":7}`, events.Scope{Keys: []string{"p:7:x"}}},
		"all digits":      {`keys: "p:{data.id}"`, `{"id":12345678901234567890}`, events.Scope{Keys: []string{"p:12345678901234567890"}}},
		"as written":      {`keys: "p:{data.id}"`, `{"id":1.50}`, events.Scope{Keys: []string{"p:1.50"}}},
		"bool":            {`keys: "p:{data.id}"`, `{"id":false}`, events.Scope{Keys: []string{"p:false"}}},
		"nested":          {`keys: "{data.a.b[1].c}"`, `{"a":{"b":[0,{"c":"z"}]}}`, events.Scope{Keys: []string{"z"}}},
		"braces":          {`keys: "{{{data.id}}}"`, `{"id":1}`, events.Scope{Keys: []string{"{1}"}}},
		"each":            {`keys: "p:{data.ids[]}"`, `{"ids":[3,1,3]}`, events.Scope{Keys: []string{"p:1", "p:3"}}},
		"each of each":    {`keys: "{data.a[].k}:{data.b[]}"`, `{"a":[{"k":1},{"k":2}],"b":["x","y"]}`, events.Scope{Keys: []string{"1:x", "1:y", "2:x", "2:y"}}},
		"optional there":  {`keys: ["k", "p:{data.o?}"]`, `{"o":1}`, events.Scope{Keys: []string{"k", "p:1"}}},
		"optional absent": {`keys: ["k", "p:{data.o?}"]`, `{}`, events.Scope{Keys: []string{"k"}}},
		"optional null":   {`keys: ["k", "p:{data.o?}"]`, `{"o":null}`, events.Scope{Keys: []string{"k"}}},
		"optional in some of the items": {`keys: "p:{data.a[].id?}"`, `{"a":[{"id":1},{},{"id":""},{"id":2}]}`,
			events.Scope{Keys: []string{"p:1", "p:2"}}},
		"attributes":  {`tags: ["{attributes.ext}", "{source}", "{id}", "{channel}"]`, `{}`, events.Scope{Tags: []string{"/s", "1", "events.t", "x"}}},
		"prefix":      {`prefixes: "p:{data.id}:"`, `{"id":7}`, events.Scope{Prefixes: []string{"p:7:"}}},
		"glob escape": {`globs: "p:*:{data.id}"`, `{"id":"*?\\"}`, events.Scope{Globs: []string{`p:*:\*\?\\`}}},
		"all":         {"all: true", `{}`, events.Scope{All: true}},
		"cel": {`keys_cel: 'data.items.filter(i, i.n > 1).map(i, "p:" + i.sku)'`, `{"items":[{"n":1,"sku":"a"},{"n":2,"sku":"b"}]}`,
			events.Scope{Keys: []string{"p:b"}}},
		"cel number":    {`tags_cel: '["n:" + string(data.n), attributes.ext + event.type]'`, `{"n":9007199254740993}`, events.Scope{Tags: []string{"n:9007199254740993", "xt"}}},
		"condition":     {"keys: k\nwhen: data.n > 1 && !has(data.m)", `{"n":1.5}`, events.Scope{Keys: []string{"k"}}},
		"too many keys": {`keys: "p:{data.ids[]}"`, ids(8193), events.Scope{Prefixes: []string{"p:"}}},
		"most keys together": {"keys: [\"p:{data.ids[]}\", \"q:{data.ids[]}\"]", ids(5000),
			events.Scope{Prefixes: []string{"p:", "q:"}}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := one(t, c.rule).Evaluate(happened(t, c.data))
			if err != nil {
				t.Fatal(err)
			}
			inv := fence(t, out)
			if !reflect.DeepEqual(clean(inv.Scope), clean(c.want)) {
				t.Errorf("have %+v\nwant %+v", inv.Scope, c.want)
			}
			if inv.Cause != (events.Cause{Event: "/s#1", Trace: "00-a"}) || inv.Soft {
				t.Errorf("fence %+v", inv)
			}
		})
	}
}

func ids(n int) string {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	b, _ := json.Marshal(map[string]any{"ids": all}) // ints always marshal
	return string(b)
}

// clean makes empty lists nil.
func clean(s events.Scope) events.Scope {
	for _, ns := range []*[]string{&s.Keys, &s.Tags, &s.Prefixes, &s.Globs} {
		if len(*ns) == 0 {
			*ns = nil
		}
	}
	return s
}

// TestFailuresFenceTheirReach: what a failed part could have meant dies, the
// error says what was wrong, and never does everything die.
func TestFailuresFenceTheirReach(t *testing.T) {
	for name, c := range map[string]struct {
		rule, data string
		kind       error
		part       string
		field      string
		want       events.Scope // zero: unknown
	}{
		"missing":        {`keys: "p:{data.id}:x"`, `{}`, rules.ErrMissingField, "keys[0]", "data.id", events.Scope{Prefixes: []string{"p:"}}},
		"null":           {`keys: "p:{data.id}:x"`, `{"id":null}`, rules.ErrMissingField, "keys[0]", "data.id", events.Scope{Prefixes: []string{"p:"}}},
		"empty":          {`keys: "p:{data.id}:x"`, `{"id":""}`, rules.ErrEmptyField, "keys[0]", "data.id", events.Scope{Prefixes: []string{"p:"}}},
		"object":         {`keys: "p:{data.id}:x"`, `{"id":{}}`, rules.ErrBadField, "keys[0]", "data.id", events.Scope{Prefixes: []string{"p:"}}},
		"optional array": {`keys: "p:{data.id?}:x"`, `{"id":[1]}`, rules.ErrBadField, "keys[0]", "data.id?", events.Scope{Prefixes: []string{"p:"}}},
		"surrogate":      {`keys: "p:{data.id}"`, `{"id":"\ud800"}`, rules.ErrBadField, "keys[0]", "data.id", events.Scope{Prefixes: []string{"p:"}}},
		"no items":       {`keys: "p:{data.ids[]}"`, `{"ids":[]}`, rules.ErrMissingField, "keys[0]", "data.ids[]", events.Scope{Prefixes: []string{"p:"}}},
		"some items":     {`keys: "p:{data.a[].id}"`, `{"a":[{"id":1},{}]}`, rules.ErrMissingField, "keys[0]", "data.a[].id", events.Scope{Prefixes: []string{"p:"}}},
		"second field":   {`prefixes: "p:{data.a}:{data.b}:"`, `{"a":"q"}`, rules.ErrMissingField, "prefixes[0]", "data.b", events.Scope{Prefixes: []string{"p:q:"}}},
		"within segment": {`keys: "p{data.id}:x"`, `{}`, rules.ErrMissingField, "keys[0]", "data.id", events.Scope{Globs: []string{"p*"}}},
		"glob":           {`globs: "p:*:{data.id}:x"`, `{}`, rules.ErrMissingField, "globs[0]", "data.id", events.Scope{Globs: []string{"p:*:*"}}},
		"no lead":        {`keys: "{data.id}:x"`, `{}`, rules.ErrMissingField, "keys[0]", "data.id", events.Scope{}},
		"glob, no lead":  {`globs: "*{data.id}:x"`, `{}`, rules.ErrMissingField, "globs[0]", "data.id", events.Scope{}},
		"tag":            {`tags: "t:{data.id}"`, `{}`, rules.ErrMissingField, "tags[0]", "data.id", events.Scope{}},
		"tag, declared":  {"tags: \"t:{data.id}\"\nreach: {prefixes: 'p:', tags: a}", `{}`, rules.ErrMissingField, "tags[0]", "data.id", events.Scope{Prefixes: []string{"p:"}, Tags: []string{"a"}}},
		"name too long":  {`tags: "t:{data.id}"`, `{"id":"` + strings.Repeat("x", 600) + `"}`, rules.ErrBadName, "tags[0]", "", events.Scope{}},
		"text as data":   {`keys: "p:{data.id}"`, `"hello"`, rules.ErrBadField, "keys[0]", "data.id", events.Scope{Prefixes: []string{"p:"}}},
		"condition":      {"keys: k\nwhen: data.n > 1", `{}`, rules.ErrCondition, "when", "", events.Scope{Keys: []string{"k"}}},
		"condition type": {"keys: k\nwhen: data.n", `{"n":1}`, rules.ErrCondition, "when", "", events.Scope{Keys: []string{"k"}}},
		"cel":            {"keys_cel: data.ids", `{"ids":["a",1]}`, rules.ErrCondition, "keys_cel", "", events.Scope{}},
		"cel, empty":     {"prefixes_cel: data.ids", `{"ids":[""]}`, rules.ErrBadName, "prefixes_cel", "", events.Scope{}},
		"too many tags":  {`tags: "t:{data.ids[]}"`, ids(8193), rules.ErrTooMany, "tags[0]", "data.ids[]", events.Scope{}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := one(t, c.rule).Evaluate(happened(t, c.data))
			var fault *rules.EvalError
			if !errors.As(err, &fault) || !errors.Is(err, c.kind) || fault.Rule != "r" || fault.Part != c.part || fault.Field != c.field {
				t.Fatalf("have %+v, want %v of %s at %q", err, c.kind, c.part, c.field)
			}
			if c.want.Empty() {
				if len(out.Fences) != 0 || fault.Reached {
					t.Errorf("fences %+v, reached %v; want none, unknown", out.Fences, fault.Reached)
				}
				return
			}
			if inv := fence(t, out); !reflect.DeepEqual(clean(inv.Scope), clean(c.want)) || !fault.Reached {
				t.Errorf("have %+v, reached %v\nwant %+v", inv.Scope, fault.Reached, c.want)
			}
		})
	}
}

func TestCostOfExpressionsIsBounded(t *testing.T) {
	set := one(t, "keys: k\nwhen: data.ids.all(a, data.ids.all(b, data.ids.all(c, a + b + c >= 0)))")
	if _, err := set.Evaluate(happened(t, ids(1000))); !errors.Is(err, rules.ErrCondition) {
		t.Errorf("a thousand million comparisons: %v, want ErrCondition", err)
	}
}

func TestFencesByDomainSoftnessAndWarmth(t *testing.T) {
	set := parse(t, `
rules:
  - {name: a, match: {type: t}, keys: a}
  - {name: b, match: {type: "*"}, keys: [b, a]}
  - {name: c, match: {type: t}, keys: c, soft: true}
  - {name: d, match: {type: t}, keys: d, warm: true, domains: [shop, depot]}
  - {name: e, match: {type: u}, keys: e}
`)
	out, err := set.Evaluate(happened(t, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, f := range out.Fences {
		have = append(have, fmt.Sprintf("%s %v soft=%v warm=%v", f.Domain, f.Invalidate.Scope.Keys, f.Invalidate.Soft, f.Warm))
	}
	want := []string{
		"shop [a b] soft=false warm=false", "shop [c] soft=true warm=false",
		"shop [d] soft=false warm=true", "depot [d] soft=false warm=true",
	}
	if !slices.Equal(have, want) || !slices.Equal(out.Rules, []string{"a", "b", "c", "d"}) {
		t.Errorf("have %q by %v\nwant %q", have, out.Rules, want)
	}
}

func TestMatch(t *testing.T) {
	row := `{"op":"u","after":{"id":1},"source":{"connector":"postgresql","db":"shop","schema":"public","table":"orders"}}`
	schema := `{"databaseName":"shop","tableChanges":[{"id":"orders"}]}`
	event := `{"specversion":"1.0","id":"1","source":"/a/b","type":"shop.price.changed","subject":"s1"}`
	for _, c := range []struct {
		match, body, mismatch string
	}{
		{`{type: shop.price.changed}`, event, ""},
		{`{type: [x, "shop.*"]}`, event, ""},
		{`{type: shop.price}`, event, "type"},
		{`{type: "shop.*", source: "/a/*"}`, event, ""},
		{`{type: "shop.*", source: "/b/*"}`, event, "source"},
		{`{subject: s2}`, event, "subject"},
		{`{channel: "events.>"}`, event, "channel"},
		{`{channel: "events.*"}`, event, ""},
		{`{table: orders}`, event, "table"},
		{`{operation: update}`, event, "operation"},
		{`{connector: mysql}`, event, "connector"},
		{`{table: orders}`, row, ""},
		{`{table: public.orders}`, row, ""},
		{`{table: shop.public.orders}`, row, ""},
		{`{table: "*.orders"}`, row, ""},
		{`{table: [order, other.orders]}`, row, "table"},
		{`{table: orders, operation: [delete, update]}`, row, ""},
		{`{table: orders, operation: delete}`, row, "operation"},
		{`{table: orders, connector: mysql}`, row, "connector"},
		{`{type: "*"}`, row, ""},
		{`{table: orders}`, schema, "operation"}, // only where it is asked for
		{`{table: orders, operation: schema}`, schema, ""},
	} {
		set := parse(t, "rules: [{name: r, match: "+c.match+", keys: k}]")
		e := read(t, c.body)
		if v := set.Explain(e); v[0].Mismatch != c.mismatch {
			t.Errorf("%s: mismatch %q, want %q", c.match, v[0].Mismatch, c.mismatch)
		}
		out, err := set.Evaluate(e)
		if err != nil || (len(out.Rules) == 1) != (c.mismatch == "") {
			t.Errorf("%s: Evaluate = %+v, %v, and Explain says %q", c.match, out, err, c.mismatch)
		}
	}
}

func TestExplainNamesTheCondition(t *testing.T) {
	set := one(t, "keys: 'k:{data.id}'\nwhen: data.n > 1")
	if v := set.Explain(happened(t, `{"n":1}`)); v[0].Mismatch != "when" {
		t.Errorf("%+v", v)
	}
	if v := set.Explain(happened(t, `{"n":2}`)); v[0].Mismatch != "" || len(v[0].Faults) != 1 {
		t.Errorf("%+v", v)
	}
}

func TestRowChanges(t *testing.T) {
	text, err := os.ReadFile("../../../examples/rules/debezium.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set := parse(t, string(text))
	const source = `"source":{"connector":"mysql","table":"orders","file":"bin.1","pos":4}`
	for name, c := range map[string]struct {
		body   string
		want   events.Scope
		faults int
	}{
		"create": {`{"op":"c","after":{"id":1,"customer_id":5},` + source + `}`,
			events.Scope{Keys: []string{"customers:5:orders", "orders:1"}, Prefixes: []string{"orders:1:"}}, 0},
		"moved": {`{"op":"u","before":{"id":1,"customer_id":5},"after":{"id":1,"customer_id":6},` + source + `}`,
			events.Scope{Keys: []string{"customers:5:orders", "customers:6:orders", "orders:1"}, Prefixes: []string{"orders:1:"}}, 0},
		"delete, key columns only": {`{"op":"d","before":{"id":1},"after":null,` + source + `}`,
			events.Scope{Keys: []string{"orders:1"}, Prefixes: []string{"orders:1:"}}, 0},
		"delete of an unknown row": {`{"op":"d","before":null,"after":null,` + source + `}`,
			events.Scope{Prefixes: []string{"orders:"}}, 2},
		"truncate": {`{"op":"t",` + source + `}`, events.Scope{Prefixes: []string{"orders:"}, Globs: []string{"customers:*:orders"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := read(t, c.body)
			out, err := set.Evaluate(e)
			inv := fence(t, out)
			if !reflect.DeepEqual(clean(inv.Scope), clean(c.want)) || inv.Source != "bin.1:4" {
				t.Errorf("have %+v\nwant %+v", inv, c.want)
			}
			faults := 0
			for _, v := range set.Explain(e) {
				faults += len(v.Faults)
			}
			if faults != c.faults || (err != nil) != (c.faults > 0) {
				t.Errorf("%d faults, want %d: %v", faults, c.faults, err)
			}
		})
	}
}

// TestTruncateIsTheReachOfARule: a rule that says nothing of truncate must not
// let it pass.
func TestTruncateIsTheReachOfARule(t *testing.T) {
	for _, key := range []string{"orders:{row.id}:x", "orders:{rows[].id?}:x"} {
		set := parse(t, `rules: [{name: r, match: {table: orders}, keys: "`+key+`"}]`)
		out, err := set.Evaluate(read(t, `{"op":"t","source":{"table":"orders"}}`))
		if err != nil {
			t.Fatal(err)
		}
		if s := fence(t, out).Scope; !slices.Equal(s.Prefixes, []string{"orders:"}) {
			t.Errorf("%s: scope %+v", key, s)
		}
	}
}

// TestReachCovers: for any template and any event, what the template renders
// lies within its reach, wherever in the template a field goes missing.
func TestReachCovers(t *testing.T) {
	literal := rapid.StringMatching(`[a-c:*?]{0,4}`)
	rapid.Check(t, func(t *rapid.T) {
		lead, mid, tail := literal.Draw(t, "lead"), literal.Draw(t, "mid"), literal.Draw(t, "tail")
		rule := fmt.Sprintf(`rules: [{name: r, match: {type: t}, keys: "%s{data.a}%s{data.b}%s"}]`, lead, mid, tail)
		set, err := rules.Parse("f", []byte(rule), rules.Options{Domains: []string{"shop"}})
		if err != nil {
			t.Fatal(err)
		}
		value := rapid.StringMatching(`[a-c:*?]{1,3}`)
		e := &domainevent.Event{ID: "1", Source: "/s", Type: "t", Data: domainevent.Object{"a": value.Draw(t, "a"), "b": value.Draw(t, "b")}}
		whole, err := set.Evaluate(e)
		if err != nil {
			t.Fatal(err)
		}
		missing := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "missing")
		delete(e.Data.(domainevent.Object), missing)
		part, err := set.Evaluate(e)
		var fault *rules.EvalError
		if !errors.As(err, &fault) {
			t.Fatalf("field %s is missing, and %v", missing, err)
		}
		if !fault.Reached {
			if len(part.Fences) != 0 {
				t.Fatalf("fenced %+v and calls it unknown", part.Fences)
			}
			return
		}
		key := whole.Fences[0].Invalidate.Scope.Keys[0]
		reach := part.Fences[0].Invalidate.Scope
		if err := reach.Validate(); err != nil {
			t.Fatal(err)
		}
		if !reach.Covers(key) {
			t.Fatalf("reach %+v does not cover %q", reach, key)
		}
	})
}

// FuzzTemplate: whatever a template says, it is refused at load, fails on the
// event, or renders names that the log takes.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"p:{data.id}:", "{{{data.ids[]}}}", "{data.a[0].b?}", "*{data.id}", "{rows[].x", "{data.ids[][]}"} {
		f.Add(s, `{"id":1,"ids":["a","*"],"a":[{"b":"\u0000"}]}`)
	}
	f.Fuzz(func(t *testing.T, text, data string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			return // not a text that YAML could hold
		}
		all, err := domainevent.Decode(domainevent.Message{ID: "1", Body: []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + data + `}`)}, domainevent.Options{})
		if err != nil || len(all) != 1 || all[0].Type != "t" {
			return
		}
		for _, kind := range []string{"keys", "tags", "prefixes", "globs"} {
			set, err := rules.Parse("f", []byte(`{"domains":["shop"],"rules":[{"name":"r","match":{"type":"t"},"`+kind+`":`+string(quoted)+`}]}`), rules.Options{})
			if err != nil {
				continue
			}
			out, err := set.Evaluate(all[0])
			for _, fence := range out.Fences {
				if err := fence.Invalidate.Scope.Validate(); err != nil {
					t.Errorf("%s %q: %v", kind, text, err)
				}
				if fence.Invalidate.Scope.All {
					t.Errorf("%s %q clears everything", kind, text)
				}
			}
			_ = err // that it may fail is the point
		}
	})
}
