package rules_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

func TestHandling(t *testing.T) {
	set := parse(t, `
limit: {names_per_minute: 1000}
rules:
  - name: plain
    match: {type: t}
    keys: "a:{data.id}"
  - name: late
    match: {type: t}
    keys: "b:{data.id}"
    settle: 2s
    coalesce: 50ms
    everywhere: true
    limit: {broad_per_minute: 6, names_per_event: 10, then: coarse}
`)
	late, ok := set.Rule("late")
	want := rules.Rule{
		Name: "late", Domains: []string{"shop"},
		Handling: rules.Handling{Settle: 2 * time.Second, Coalesce: 50 * time.Millisecond, Everywhere: true},
		Limit:    rules.Limit{Broad: 6, NamesPerEvent: 10, Coarse: true},
		Reach:    events.Scope{Prefixes: []string{"b:"}}, Reached: true,
	}
	if !ok || !reflect.DeepEqual(late, want) {
		t.Errorf("late: %+v\nwant %+v", late, want)
	}
	plain, _ := set.Rule("plain")
	if plain.Limit != (rules.Limit{Names: 1000}) || plain.Handling != (rules.Handling{}) {
		t.Errorf("plain: %+v", plain)
	}
	if _, ok := set.Rule("other"); ok {
		t.Error("a rule that is not there")
	}
	out, err := set.Evaluate(happened(t, `{"id":1}`))
	if err != nil || len(out.Fences) != 2 || out.Fences[0].Rule != "plain" || out.Fences[1].Rule != "late" || out.Fences[1].Handling != want.Handling {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestRulesWithoutLimitShareTheirFence(t *testing.T) {
	set := parse(t, `
rules:
  - {name: a, match: {type: t}, keys: "a:{data.id}"}
  - {name: b, match: {type: t}, keys: "b:{data.id}"}
  - {name: c, match: {type: t}, keys: "c:{data.id}", settle: 1s}
`)
	out, err := set.Evaluate(happened(t, `{"id":1}`))
	if err != nil || len(out.Fences) != 2 || len(out.Fences[0].Invalidate.Scope.Keys) != 2 || out.Fences[0].Rule != "" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestPosition(t *testing.T) {
	set := one(t, "keys: k\nposition: 'lsn:{data.lsn}'")
	out, err := set.Evaluate(happened(t, `{"lsn":77}`))
	if err != nil || fence(t, out).Source != "lsn:77" {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = set.Evaluate(happened(t, `{}`))
	var fault *rules.EvalError
	if fence(t, out).Source != "" || !errors.As(err, &fault) || fault.Part != "position" || !fault.Reached {
		t.Errorf("without a position: %+v, %v", out, err)
	}
}

// TestNothingBecomesEverything has, for each kind of output, an event from
// which it renders an empty name or one that would cover all.
func TestNothingBecomesEverything(t *testing.T) {
	for name, c := range map[string]struct {
		rule string
		kind error
	}{
		"key":             {`keys: "{data.empty}"`, rules.ErrEmptyField},
		"tag":             {`tags: "{data.empty}"`, rules.ErrEmptyField},
		"prefix":          {`prefixes: "{data.empty}:"`, rules.ErrEmptyField},
		"glob":            {`globs: "{data.empty}*"`, rules.ErrEmptyField},
		"key of null":     {`keys: "{data.null}"`, rules.ErrMissingField},
		"prefix of none":  {`prefixes: "{data.none}:"`, rules.ErrMissingField},
		"glob of none":    {`globs: "*{data.none}*"`, rules.ErrMissingField},
		"CEL key":         {`keys_cel: "[data.empty]"`, rules.ErrBadName},
		"CEL tag":         {`tags_cel: "[data.empty]"`, rules.ErrBadName},
		"CEL prefix":      {`prefixes_cel: "[data.empty]"`, rules.ErrBadName},
		"CEL glob":        {`globs_cel: "[data.empty]"`, rules.ErrBadName},
		"CEL glob of all": {`globs_cel: "[data.empty + '*']"`, rules.ErrBadName},
		"CEL of no list":  {`globs_cel: "data.star"`, rules.ErrCondition},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := one(t, c.rule).Evaluate(happened(t, `{"empty":"","null":null,"star":"*"}`))
			if !errors.Is(err, c.kind) {
				t.Errorf("%v, want %v", err, c.kind)
			}
			for _, f := range out.Fences {
				if s := f.Invalidate.Scope; s.All || !s.Empty() {
					t.Errorf("it fences %+v", s)
				}
			}
		})
	}
}
