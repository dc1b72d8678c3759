package events_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// wantInvalid checks that an error is about a broken rule and says so.
func wantInvalid(t *testing.T, err error, says ...string) {
	t.Helper()
	if !errors.Is(err, events.ErrInvalid) {
		t.Fatalf("got %v, want it to be invalid", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

func TestNamesThatBreakARule(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name string
		err  error
		says []string
	}{
		{"empty key", events.ValidateKey(""), []string{"key", "empty"}},
		{"long key", events.ValidateKey(long), []string{"key", "5000 bytes", "at most 4096", "…"}},
		{"empty tag", events.ValidateTag(""), []string{"tag", "empty"}},
		{"long tag", events.ValidateTag(long), []string{"tag", "at most 512"}},
		{"empty prefix", events.ValidatePrefix(""), []string{"prefix", "empty"}},
		{"prefix within a segment", events.ValidatePrefix("user:1*"), []string{`"user:1*"`, `"user:1*:"`, `"user:1\\**"`}},
		{"empty glob", events.ValidateGlob(""), []string{"glob", "empty"}},
		{"glob that is no text", events.ValidateGlob("\xff*"), []string{"UTF-8"}},
		{"glob with a lone escape", events.ValidateGlob(`a\\\`), []string{"lone escape"}},
		{"domain with a dot", events.ValidateDomain("a.b"), []string{`"a.b"`, "a-z"}},
		{"domain that is long", events.ValidateDomain(long), []string{"…"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantInvalid(t, c.err, c.says...) })
	}
	for _, err := range []error{
		events.ValidateKey("\x00\xff"), events.ValidateTag("t"), events.ValidatePrefix("user:1:"), events.ValidatePrefix(":"),
		events.ValidateGlob(`a\\`), events.ValidateGlob("user:*"), events.ValidateDomain("shop-2_b"),
	} {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
	}
}

func TestScopeCovers(t *testing.T) {
	for _, c := range []struct {
		scope events.Scope
		key   string
		want  bool
	}{
		{events.Scope{Keys: []string{"a", "b"}}, "b", true},
		{events.Scope{Keys: []string{"a"}}, "ab", false},
		{events.Scope{Prefixes: []string{"user:1:"}}, "user:1:name", true},
		{events.Scope{Prefixes: []string{"user:1:"}}, "user:12:name", false},
		{events.Scope{Prefixes: []string{"user:1:"}}, "user:1", false},
		{events.Scope{Globs: []string{"user:*:name"}}, "user:1:2:name", true},
		{events.Scope{Globs: []string{"user:?"}}, "user:12", false},
		{events.Scope{Globs: []string{events.EscapeGlob(`a*?\`)}}, `a*?\`, true},
		{events.Scope{Globs: []string{events.EscapeGlob(`a*`)}}, `ab`, false},
		{events.Scope{Tags: []string{"a"}}, "a", false},
		{events.Scope{All: true}, "anything", true},
		{events.Scope{}, "anything", false},
	} {
		if got := c.scope.Covers(c.key); got != c.want {
			t.Errorf("%+v covers %q: %v", c.scope, c.key, got)
		}
	}
}

// A glob built to be slow ends in time, and on the safe side.
func TestSlowGlobCountsAsMatching(t *testing.T) {
	key := strings.Repeat("a", 4000) + "b"
	glob := strings.Repeat("*a", 200) + "*c*"
	began := time.Now()
	if !events.MatchGlob(key, glob) {
		t.Error("does not match")
	}
	if d := time.Since(began); d > 100*time.Millisecond {
		t.Errorf("took %v", d)
	}
	if events.MatchGlob(strings.Repeat("a", 4000)+"b", "*a*a*b*c") {
		t.Error("an ordinary glob is cut short")
	}
}

func TestRecordsThatBreakARule(t *testing.T) {
	put := func(k string) events.Change { return &events.Put{Key: k} }
	fence := func(s events.Scope) events.Change { return &events.Invalidate{Scope: s} }
	many := make([]events.Change, events.MaxChanges+1)
	for i := range many {
		many[i] = fence(events.Scope{All: true})
	}
	for _, c := range []struct {
		name    string
		changes []events.Change
		says    string
	}{
		{"nothing", nil, "no change"},
		{"too much", many, "at most 16384"},
		{"nil change", []events.Change{nil}, "is not one"},
		{"put without key", []events.Change{put("")}, "key: empty"},
		{"put with a large entry", []events.Change{&events.Put{Key: "k", Entry: make([]byte, events.MaxInline+1)}}, "inline"},
		{"fence of nothing", []events.Change{fence(events.Scope{})}, "say so with All"},
		{"fence of a bad name, second", []events.Change{put("a"), fence(events.Scope{Keys: []string{""}})}, "change 1"},
		{"long source", []events.Change{&events.Invalidate{Scope: events.Scope{All: true}, Source: strings.Repeat("x", 1025)}}, "source position"},
		{"intent without bracket", []events.Change{&events.Intent{Scope: events.Scope{All: true}}}, "no bracket id"},
		{"intent of nothing", []events.Change{&events.Intent{Bracket: events.BracketID{1}}}, "scope"},
		{"end without bracket", []events.Change{&events.End{}}, "no bracket id"},
		{"pulse without node", []events.Change{&events.Pulse{Incarnation: events.Incarnation{1}}}, "node id"},
		{"pulse without incarnation", []events.Change{&events.Pulse{Node: "n"}}, "no incarnation"},
		{"pulse with many addresses", []events.Change{&events.Pulse{Node: "n", Incarnation: events.Incarnation{1}, Addresses: make([]string, 17)}}, "17 addresses"},
		{"epoch zero", []events.Change{&events.EpochChange{}}, "zero epoch"},
		{"epoch with a long reason", []events.Change{&events.EpochChange{Epoch: 1, Why: strings.Repeat("x", 1025)}}, "reason"},
		{"a key put twice", []events.Change{put("a"), put("a")}, `puts "a" twice`},
		{"a key fenced behind its put", []events.Change{put("a"), fence(events.Scope{Keys: []string{"a"}})}, `fences "a" behind its put`},
		{"a tag behind a put", []events.Change{put("a"), fence(events.Scope{Tags: []string{"t"}})}, "behind a put"},
		{"a prefix behind a put", []events.Change{put("a"), fence(events.Scope{Prefixes: []string{"p:"}})}, "behind a put"},
		{"an intent behind a put", []events.Change{put("a"), &events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{"a"}}}}, "behind its put"},
		{"an end behind a put", []events.Change{put("a"), &events.End{Bracket: events.BracketID{1}}}, "behind a put"},
		{"an epoch behind a put", []events.Change{put("a"), &events.EpochChange{Epoch: 1}}, "behind a put"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantInvalid(t, events.Record{Changes: c.changes}.Validate(), c.says)
			b, err := events.AppendRecord([]byte("x"), events.Record{Changes: c.changes})
			if err == nil || string(b) != "x" {
				t.Errorf("encoded as %q: %v", b, err)
			}
		})
	}
	ok := events.Record{Changes: []events.Change{
		fence(events.Scope{Keys: []string{"a"}, Tags: []string{"t"}}), put("a"), put("b"),
		fence(events.Scope{Keys: []string{"c"}}), &events.Pulse{Node: "n", Incarnation: events.Incarnation{1}},
	}}
	if err := ok.Validate(); err != nil {
		t.Errorf("refused: %v", err)
	}
}

// One record must not hold a node up: validating is linear in its size.
func TestValidatingIsQuick(t *testing.T) {
	var changes []events.Change
	for i := range 8000 {
		changes = append(changes, &events.Put{Key: "k" + string(rune('a'+i%26)) + strings.Repeat("x", i%30) + string(rune(0x4e00+i))})
	}
	keys := make([]string, events.MaxNames)
	for i := range keys {
		keys[i] = "z"
	}
	changes = append(changes, &events.Invalidate{Scope: events.Scope{Keys: keys}})
	began := time.Now()
	if err := (events.Record{Changes: changes}).Validate(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func TestTooLargeRecordIsRefused(t *testing.T) {
	var changes []events.Change
	for i := range 3 {
		changes = append(changes, &events.Put{Key: string(rune('a' + i)), Entry: make([]byte, events.MaxInline)})
	}
	if _, err := events.AppendRecord(nil, events.Record{Changes: changes}); !errors.Is(err, events.ErrTooLarge) {
		t.Errorf("encode: %v", err)
	}
	if _, err := events.NewDraft(changes...); !errors.Is(err, events.ErrTooLarge) {
		t.Errorf("draft: %v", err)
	}
}

func TestSettingsThatBreakARule(t *testing.T) {
	if err := events.DefaultSettings().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*events.Settings){
		"partitions": func(s *events.Settings) { s.Partitions = 65 },
		"lease":      func(s *events.Settings) { s.Lease = time.Millisecond },
		"drift_ppm":  func(s *events.Settings) { s.DriftPPM = -1 },
		"max_ttl":    func(s *events.Settings) { s.MaxTTL = 0 },
		"outage":     func(s *events.Settings) { s.Outage = 1 << 62 },
		"inline_max": func(s *events.Settings) { s.InlineMax = events.MaxInline + 1 },
		"policy":     func(s *events.Settings) { s.Policy = "" },
		"replicas":   func(s *events.Settings) { s.Replicas = 2 },
	} {
		s := events.DefaultSettings()
		change(&s)
		wantInvalid(t, s.Validate(), "setting "+name)
	}
}

func TestSettingsDerived(t *testing.T) {
	s := events.DefaultSettings()
	if s.Retention() != 96*time.Hour || s.PulseInterval() != 3*time.Second {
		t.Errorf("retention %v, pulse %v", s.Retention(), s.PulseInterval())
	}
}

func TestDigestTellsHistoriesApart(t *testing.T) {
	a, b := events.ID{Counter: 1}, events.ID{Counter: 2}
	var zero events.Digest
	if zero.Next(a).Next(b) == zero.Next(b).Next(a) {
		t.Error("order does not count")
	}
	if first, again := zero.Next(a), zero.Next(a); first == zero || first != again {
		t.Error("not a digest")
	}
	if len(zero.String()) != 32 {
		t.Errorf("reads %q", zero)
	}
}

func TestIdentities(t *testing.T) {
	id := events.ID{Publisher: events.Incarnation{0xab, 15: 0x01}, Counter: 0x1234}
	const text = "ab000000000000000000000000000001-0000000000001234"
	if id.String() != text {
		t.Errorf("reads %q", id)
	}
	if back, err := events.ParseID(text); err != nil || back != id {
		t.Errorf("read as %v, %v", back, err)
	}
	for _, bad := range []string{"", text + "0", strings.ToUpper(text), strings.Replace(text, "-", "0", 1), strings.Repeat("x", 500)} {
		if _, err := events.ParseID(bad); !errors.Is(err, events.ErrBadID) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if events.ForeignID([]byte("a")) == events.ForeignID([]byte("b")) {
		t.Error("foreign messages share an identity")
	}
	// Zeroes are skipped: no epoch is zero.
	e, err := events.NewEpoch(bytes.NewReader(append(make([]byte, 8), 0, 0, 0, 0, 0, 0, 0, 9)))
	if err != nil || e != 9 {
		t.Errorf("epoch %v, %v", e, err)
	}
	if back, err := events.ParseEpoch(e.String()); err != nil || back != e {
		t.Errorf("epoch read as %v, %v", back, err)
	}
	for _, bad := range []string{"", "9", "000000000000000g", "+000000000000009"} {
		if _, err := events.ParseEpoch(bad); err == nil {
			t.Errorf("%q was read as an epoch", bad)
		}
	}
	if _, err := events.NewEpoch(bytes.NewReader(nil)); err == nil {
		t.Error("drew an epoch from nothing")
	}
	if _, err := events.NewIncarnation(bytes.NewReader(nil)); err == nil {
		t.Error("drew an incarnation from nothing")
	}
}
