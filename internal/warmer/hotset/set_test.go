package hotset_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/hotset"
	"github.com/raptorflow/tercet/internal/warmer/popularity"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

var now = time.Unix(1_700_000_000, 0)

func set(t interface{ Fatal(...any) }, capacity, victims int) *hotset.Set {
	s, err := hotset.New(hotset.Config{
		Popularity: popularity.Config{Capacity: capacity, HalfLife: time.Minute},
		MinRate:    0.1, MaxVictims: victims,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func learn(s *hotset.Set, reads ...wire.Read) {
	s.Learn(now, &wire.Summary{Node: "n", Window: time.Second, Reads: reads})
}

func keys(all []popularity.Estimate) []string {
	var out []string
	for _, e := range all {
		out = append(out, e.Key)
	}
	return out
}

func shop(t *testing.T) *hotset.Set {
	s := set(t, 100, 10)
	learn(s,
		wire.Read{Key: "product:1:page", Count: 400, Tags: []string{"category:tea"}},
		wire.Read{Key: "product:1:price", Count: 300},
		wire.Read{Key: "product:12:page", Count: 200, Tags: []string{"category:tea", "sale"}},
		wire.Read{Key: "customer:9", Count: 100},
		wire.Read{Key: "product:cold", Count: 1})
	return s
}

func TestVictims(t *testing.T) {
	s := shop(t)
	for name, tc := range map[string]struct {
		scope events.Scope
		want  []string
	}{
		"keys":            {events.Scope{Keys: []string{"customer:9", "unknown", "product:cold"}}, []string{"customer:9"}},
		"tag":             {events.Scope{Tags: []string{"category:tea"}}, []string{"product:1:page", "product:12:page"}},
		"prefix":          {events.Scope{Prefixes: []string{"product:1:"}}, []string{"product:1:page", "product:1:price"}},
		"prefix, shorter": {events.Scope{Prefixes: []string{"product:"}}, []string{"product:1:page", "product:1:price", "product:12:page"}},
		"glob":            {events.Scope{Globs: []string{"*:page"}}, []string{"product:1:page", "product:12:page"}},
		"union, once":     {events.Scope{Keys: []string{"product:12:page"}, Tags: []string{"sale"}, Globs: []string{"product:12:*"}}, []string{"product:12:page"}},
		"all":             {events.Scope{All: true}, []string{"product:1:page", "product:1:price", "product:12:page", "customer:9"}},
		"none":            {events.Scope{Tags: []string{"coffee"}}, nil},
	} {
		if got := keys(s.Victims(now, &tc.scope)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestVictimsAreBoundedToTheHottest(t *testing.T) {
	s := set(t, 100, 2)
	for i := range 50 {
		learn(s, wire.Read{Key: fmt.Sprintf("a:%d", i), Count: uint64(100 + i), Tags: []string{"t"}})
	}
	for name, scope := range map[string]events.Scope{
		"all": {All: true}, "tag": {Tags: []string{"t"}}, "prefix": {Prefixes: []string{"a:"}}, "glob": {Globs: []string{"a:*"}},
	} {
		if got := keys(s.Victims(now, &scope)); !slices.Equal(got, []string{"a:49", "a:48"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTagsFollowTheNewestSummary(t *testing.T) {
	s := shop(t)
	learn(s, wire.Read{Key: "product:1:page", Count: 1, Tags: []string{"category:coffee"}})
	learn(s, wire.Read{Key: "product:1:page", Count: 1}) // a summary that tells no tags
	if got := keys(s.Victims(now, &events.Scope{Tags: []string{"category:tea"}})); !slices.Equal(got, []string{"product:12:page"}) {
		t.Errorf("old tag: %q", got)
	}
	if got := keys(s.Victims(now, &events.Scope{Tags: []string{"category:coffee"}})); !slices.Equal(got, []string{"product:1:page"}) {
		t.Errorf("new tag: %q", got)
	}
}

func record(t *testing.T, changes ...events.Change) []byte {
	b, err := events.AppendRecord(nil, events.Record{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKilled(t *testing.T) {
	s := shop(t)
	all := []string{"product:1:page", "product:1:price", "product:12:page", "customer:9"}
	bracket := events.BracketID{1}
	intent := &events.Intent{Bracket: bracket, Scope: events.Scope{Keys: []string{"customer:9"}}, Deadline: now}
	for _, step := range []struct {
		name      string
		partition int
		data      []byte
		want      []string
	}{
		{"invalidation", 0, record(t, &events.Invalidate{Scope: events.Scope{Keys: []string{"product:1:price"}}}), []string{"product:1:price"}},
		{"several", 0, record(t,
			&events.Invalidate{Scope: events.Scope{Keys: []string{"customer:9"}}},
			&events.Invalidate{Scope: events.Scope{Tags: []string{"category:tea"}}, Soft: true}),
			[]string{"product:1:page", "product:12:page", "customer:9"}},
		{"put", 0, record(t, &events.Put{Key: "customer:9", Entry: []byte("x")}), nil},
		{"pulse", 0, record(t, &events.Pulse{Node: "n", Incarnation: events.Incarnation{1}, Number: 1}), nil},
		{"epoch", 0, record(t, &events.EpochChange{Epoch: 1}), all},
		{"undecodable", 0, []byte{99}, all},
		{"intent", 0, record(t, intent), nil},
		{"end in another partition", 1, record(t, &events.End{Bracket: bracket}), nil},
		{"end", 0, record(t, &events.End{Bracket: bracket}), []string{"customer:9"}},
		{"end again", 0, record(t, &events.End{Bracket: bracket}), nil},
		{"intent again", 0, record(t, intent), nil},
	} {
		if got := keys(s.Killed(now, step.partition, step.data)); !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	s.Forget(0)
	if got := keys(s.Killed(now, 0, record(t, &events.End{Bracket: bracket}))); got != nil {
		t.Errorf("a bracket outlived its history: %q", got)
	}
}

// TestAgreesWithCovers: what the indexes yield is what a look at every key
// would, also while keys come and go.
func TestAgreesWithCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := set(t, 6, 100)
		key := rapid.StringMatching(`[ab](:[ab]){0,3}`)
		tags := map[string][]string{}
		for range rapid.IntRange(1, 40).Draw(t, "reads") {
			r := wire.Read{Key: key.Draw(t, "key"), Count: uint64(rapid.IntRange(10, 99).Draw(t, "count"))}
			if rapid.Bool().Draw(t, "tagged") {
				r.Tags = []string{rapid.SampledFrom([]string{"x", "y"}).Draw(t, "tag")}
				tags[r.Key] = r.Tags
			}
			learn(s, r)
		}
		hot := keys(s.Victims(now, &events.Scope{All: true}))
		prefix := key.Draw(t, "prefix") + ":"
		var want []string
		for _, k := range hot {
			if (&events.Scope{Prefixes: []string{prefix}}).Covers(k) {
				want = append(want, k)
			}
		}
		if got := keys(s.Victims(now, &events.Scope{Prefixes: []string{prefix}})); !slices.Equal(got, want) {
			t.Fatalf("prefix %q: %q, want %q", prefix, got, want)
		}
		for _, k := range keys(s.Victims(now, &events.Scope{Tags: []string{"x"}})) {
			if !slices.Contains(hot, k) || !slices.Contains(tags[k], "x") {
				t.Fatalf("tag x: %q does not bear it", k)
			}
		}
	})
}
