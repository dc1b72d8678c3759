package backtest_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/invalidator/backtest"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

func parse(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("f", []byte("domains: [shop]\nrules:\n"+text), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestRun(t *testing.T) {
	running := parse(t, `
- {name: price, match: {type: price}, keys: "p:{data.id}"}
- {name: gone, match: {type: old}, tags: "t"}
`)
	candidate := parse(t, `
- {name: price, match: {type: price}, keys: ["p:{data.id}", "l:{data.id}"], limit: {names_per_minute: 5, names_per_event: 1}}
- {name: new, match: {type: stock}, prefixes: "s:{data.id}:", domains: [a, b]}
`)
	run := backtest.New(candidate, running)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	add := func(second int, kind, data string) {
		m := domainevent.Message{ID: fmt.Sprint("EVENTS/", second), Body: fmt.Appendf(nil,
			`{"specversion":"1.0","id":"%d","source":"/s","type":"%s","data":%s}`, second, kind, data)}
		run.Add(m, start.Add(time.Duration(second)*time.Second), domainevent.Options{})
	}
	add(0, "price", `{"id":1}`)
	add(1, "price", `{"id":1}`)
	add(2, "price", `{"id":2}`)
	add(70, "price", `{}`)
	add(71, "old", `{}`)
	add(72, "stock", `{"id":7}`)
	add(73, "other", `{}`)
	run.Add(domainevent.Message{ID: "EVENTS/9", Body: []byte("{")}, start, domainevent.Options{})
	r := run.Report()
	if r.Messages != 8 || r.Events != 7 || r.Unreadable != 1 || len(r.Problems) != 1 {
		t.Errorf("%+v", r)
	}
	c := r.Candidate
	want := []backtest.Rule{
		{Name: "price", Matched: 4, Failed: 1, Fenced: backtest.Names{Keys: 6, Prefixes: 2}, Beyond: 1, Large: 4,
			Busiest: backtest.Minute{At: start, Single: 6}},
		{Name: "new", Matched: 1, Fenced: backtest.Names{Prefixes: 2}, Busiest: backtest.Minute{At: start.Add(time.Minute), Broad: 2}},
	}
	if !reflect.DeepEqual(c.Rules, want) {
		t.Errorf("rules %+v\nwant  %+v", c.Rules, want)
	}
	if c.Matched != 5 || c.Unmatched != 2 || c.Failed != 1 || c.Unreached != 0 || c.Distinct != 8 || c.Top[0] != (backtest.Top{Name: "shop key l:1", Times: 2}) {
		t.Errorf("%+v", c)
	}
	if r.Running.Matched != 5 || r.Running.Fenced != (backtest.Names{Keys: 3, Tags: 1, Prefixes: 1}) || len(r.Running.UnmatchedTypes) != 2 {
		t.Errorf("running %+v", r.Running)
	}
	d := r.Differences
	if d.Same != 1 || d.Gone != 1 || d.New != 1 || d.Changed != 4 {
		t.Errorf("differences %+v", d)
	}
	if x := d.Examples[0]; x.Kind != "changed" || len(x.Less) != 0 || !reflect.DeepEqual(x.More, []string{"shop key l:1"}) {
		t.Errorf("example %+v", x)
	}
}

func TestNothingToCompareWith(t *testing.T) {
	r := backtest.New(parse(t, `- {name: a, match: {type: a}, all: true}`), nil).Report()
	if r.Running != nil || r.Differences != nil || len(r.Candidate.Rules) != 1 {
		t.Errorf("%+v", r)
	}
}
