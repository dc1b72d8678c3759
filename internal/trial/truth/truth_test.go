package truth

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/trial/input"
)

// schema: a page is made of its own row and its shelf's.
type schema struct{}

func (schema) View(key string, attribute func(string) string) input.View {
	shelf := attribute(key)
	return input.View{Rows: []string{key, "shelf " + shelf}, Tags: []string{shelf}}
}

type clock struct{ now time.Time }

func (c *clock) pass(d time.Duration) time.Time {
	c.now = c.now.Add(d)
	return c.now
}

func newTruth() (*Truth, *clock) {
	c := &clock{now: time.Unix(1000, 0)}
	return New(schema{}, []input.Attribute{{Row: "page", Value: "a"}}, func() time.Time { return c.now }), c
}

const bound = time.Second

func TestJudge(t *testing.T) {
	origin, clock := newTruth()
	old, tags := origin.Load("page")
	if len(tags) != 1 || tags[0] != "a" {
		t.Fatalf("tags %q, want the page's shelf", tags)
	}
	if j := origin.Judge("page", old, clock.now, bound); j.Verdict != Current {
		t.Fatalf("a value just loaded is %v", j.Verdict)
	}
	overwritten := clock.pass(time.Second)
	made := origin.Commit(&input.Change{Writes: []string{"page"}})
	for _, tc := range []struct {
		name  string
		began time.Time
		want  Verdict
	}{
		{"read before the commit", overwritten.Add(-time.Millisecond), Current},
		{"read at the commit", overwritten, Current},
		{"read soon after", overwritten.Add(bound / 2), Late},
		{"read at the bound", overwritten.Add(bound), Late},
		{"read after the bound", overwritten.Add(bound + 1), Stale},
	} {
		j := origin.Judge("page", old, tc.began, bound)
		if j.Verdict != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, j.Verdict, tc.want)
		}
		if tc.want == Stale && (j.Row != "page" || j.Number != made.Number || j.Age != bound+1) {
			t.Errorf("%s: judged by %+v, want row page and commit %d", tc.name, j, made.Number)
		}
	}
	// The age counts from the first overwriting commit, not from the last.
	clock.pass(10 * time.Second)
	origin.Commit(&input.Change{Writes: []string{"page"}})
	if j := origin.Judge("page", old, clock.now, bound); j.Age != 10*time.Second {
		t.Errorf("age %v, want 10s", j.Age)
	}
	fresh, _ := origin.Load("page")
	if j := origin.Judge("page", fresh, clock.pass(time.Hour), bound); j.Verdict != Current {
		t.Errorf("a value loaded after the commits is %v", j.Verdict)
	}
}

func TestJudgeSharedRowsAndMoves(t *testing.T) {
	origin, clock := newTruth()
	onA, _ := origin.Load("page")
	origin.Commit(&input.Change{Writes: []string{"page"}, Sets: []input.Attribute{{Row: "page", Value: "b"}}})
	onB, tags := origin.Load("page")
	if tags[0] != "b" {
		t.Fatalf("tags %q after the move to b", tags)
	}
	clock.pass(time.Minute)
	origin.Commit(&input.Change{Writes: []string{"shelf a"}})
	now := clock.pass(time.Minute)
	if j := origin.Judge("page", onB, now, bound); j.Verdict != Current {
		t.Errorf("a page on shelf b is %v after a write to shelf a", j.Verdict)
	}
	if j := origin.Judge("page", onA, now, bound); j.Verdict != Stale || j.Age != 2*time.Minute {
		t.Errorf("a page of shelf a is %v (%v), want stale since its move", j.Verdict, j.Age)
	}
}

func TestJudgeWrong(t *testing.T) {
	origin, clock := newTruth()
	good, _ := origin.Load("page")
	other, _ := origin.Load("another")
	foreign, _ := newTruth()
	foreign.Commit(&input.Change{Writes: []string{"page"}})
	future, _ := foreign.Load("page")
	for _, tc := range []struct {
		name    string
		payload []byte
		reason  string
	}{
		{"empty", nil, "no sum"},
		{"another key's", other, "another key"},
		{"of the future", future, "never made"},
		{"cut short", good[:len(good)-1], "filler"},
		{"commit changed", bytes.Replace(good, []byte("commit 0"), []byte("commit 1"), 1), "sum"},
		{"filler changed", append(bytes.Clone(good[:len(good)-1]), '!'), "filler"},
		{"two glued together", append(bytes.Clone(good), good...), "filler"},
	} {
		j := origin.Judge("page", tc.payload, clock.now, bound)
		if j.Verdict != Wrong || !strings.Contains(j.Reason, tc.reason) {
			t.Errorf("%s: %v (%s), want wrong because of %q", tc.name, j.Verdict, j.Reason, tc.reason)
		}
	}
}

func TestValueSurvivesAnyNames(t *testing.T) {
	rows := []string{"", "a b", "\n", "sum ", `"`, "ü\xff"}
	for _, key := range []string{"k", "a\nsum b", `"x"`, "\xff\x00"} {
		v, wrong := decode(encode(key, 42, rows))
		if wrong != "" || v.key != key || v.number != 42 || len(v.rows) != len(rows) {
			t.Errorf("%q came back as %q, %d, %q (%s)", key, v.key, v.number, v.rows, wrong)
			continue
		}
		for i := range rows {
			if v.rows[i] != rows[i] {
				t.Errorf("row %q came back as %q", rows[i], v.rows[i])
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode("key", 7, []string{"a", "b"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, wrong := decode(b); wrong == "" && !bytes.Equal(encode(v.key, v.number, v.rows), b) {
			t.Errorf("decoded %q to %+v, which is encoded otherwise", b, v)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	origin, clock := newTruth()
	p, _ := origin.Load("page")
	b.ReportAllocs()
	for b.Loop() {
		origin.Judge("page", p, clock.now, bound)
	}
}
