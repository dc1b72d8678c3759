package input

import (
	"fmt"
	"slices"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// The rules must name what the origin's changes overwrite, no matter how the
// two are told: every key whose value a change made old is covered by the
// fences that the rules make of its event.
func TestRulesCoverWhatChangesOverwrite(t *testing.T) {
	for _, tc := range []struct {
		name string
		open func(t *testing.T) *Workload
	}{
		{"shop", func(*testing.T) *Workload { return Shop(Options{Seed: 3, MaxReads: 20_000}) }},
		{"access log", func(t *testing.T) *Workload { return opened(t, "access.tsv", 0) }},
		{"common log", func(t *testing.T) *Workload { return opened(t, "access.log", 0) }},
		{"shop trace", func(t *testing.T) *Workload { return opened(t, "shop.trace.xz", 0) }},
		{"block I/O", func(t *testing.T) *Workload { return opened(t, "io.csv", 0) }},
		{"key-value", func(t *testing.T) *Workload { return opened(t, "kv.csv", 0) }},
		{"debezium", func(t *testing.T) *Workload { return opened(t, "debezium", 0) }},
		{"debezium lines", func(t *testing.T) *Workload { return opened(t, "events.jsonl", 0) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := tc.open(t)
			set, err := rules.Parse("trial.yaml", w.Rules, rules.Options{})
			if err != nil {
				t.Fatalf("rules: %v\n%s", err, w.Rules)
			}
			checkCover(t, w, set)
		})
	}
}

func checkCover(t *testing.T, w *Workload, set *rules.Set) {
	attributes := map[string]string{}
	for _, a := range w.Attributes {
		attributes[a.Row] = a.Value
	}
	// Each row's readers, with the view that they were last read with.
	views := map[string]View{}
	readers := map[string]map[string]bool{}
	for i, s := range w.Steps {
		if s.Change == nil {
			v := w.Schema.View(s.Key, func(row string) string { return attributes[row] })
			views[s.Key] = v
			for _, row := range v.Rows {
				if readers[row] == nil {
					readers[row] = map[string]bool{}
				}
				readers[row][s.Key] = true
			}
			continue
		}
		scopes := evaluate(t, set, s.Change, i)
		for _, row := range s.Change.Writes {
			for key := range readers[row] {
				if v := views[key]; slices.Contains(v.Rows, row) && !covered(scopes, key, v.Tags) {
					t.Fatalf("step %d: %s: %s is overwritten, since %s was written, and no fence covers it: %+v",
						i, s.Change.What, key, row, scopes)
				}
			}
		}
		for _, a := range s.Change.Sets {
			attributes[a.Row] = a.Value
		}
		for _, key := range s.Change.Reach {
			v := w.Schema.View(key, func(row string) string { return attributes[row] })
			if !covered(scopes, key, v.Tags) {
				t.Fatalf("step %d: %s: %s is said to be reached and no fence covers it", i, s.Change.What, key)
			}
		}
	}
}

func evaluate(t *testing.T, set *rules.Set, c *Change, i int) []events.Scope {
	t.Helper()
	happened, err := domainevent.Decode(domainevent.Message{
		ID: fmt.Sprintf("EVENTS/%d", i+1), Channel: c.Subject, Body: c.Event,
	}, domainevent.Options{})
	if err != nil {
		t.Fatalf("step %d: event %s is not understood: %v\n%s", i, c.ID, err, c.Event)
	}
	var scopes []events.Scope
	for _, e := range happened {
		if c.EventID != "" && e.ID != c.EventID {
			t.Fatalf("step %d: the event's id is %q, the change says %q", i, e.ID, c.EventID)
		}
		out, err := set.Evaluate(e)
		if err != nil {
			t.Fatalf("step %d: rules fail on %s: %v", i, c.Event, err)
		}
		for _, f := range out.Fences {
			scopes = append(scopes, f.Invalidate.Scope)
		}
	}
	if len(scopes) == 0 {
		t.Fatalf("step %d: no rule is about %s", i, c.Event)
	}
	return scopes
}

func covered(scopes []events.Scope, key string, tags []string) bool {
	for i := range scopes {
		if scopes[i].Covers(key) {
			return true
		}
		for _, tag := range tags {
			if slices.Contains(scopes[i].Tags, tag) {
				return true
			}
		}
	}
	return false
}
