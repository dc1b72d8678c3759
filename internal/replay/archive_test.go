package replay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// archive returns the archive of a log.
func archive(t testing.TB, h *history, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	a, err := NewArchive(&b, Head{Domain: "shop", Settings: events.DefaultSettings(), Made: time.Now(), Filtered: !o.Filter.Empty()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), []Source{h}, all(t, h), o, a); err != nil {
		t.Fatal(err)
	}
	if err := a.End(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func someHistory(t testing.TB, n int) *history {
	h := newHistory(t)
	for i := range n {
		h.add(put(t, fmt.Sprint("key:", i), strings.Repeat("v", i%300), "tag"))
		h.add(&events.Invalidate{Scope: events.Scope{Keys: []string{fmt.Sprint("key:", i/2)}}, Cause: events.Cause{Event: "db#" + fmt.Sprint(i)}})
	}
	h.stream.AppendForeign([]byte("not ours"))
	return h
}

// An archive is the log that it was made of, record by record.
func TestArchiveIsTheLog(t *testing.T) {
	h := someHistory(t, 700)
	r, err := OpenArchive(bytes.NewReader(archive(t, h, Options{Pulses: true})))
	if err != nil {
		t.Fatal(err)
	}
	if r.Head().Domain != "shop" || r.Head().Settings != events.DefaultSettings() {
		t.Errorf("head %+v", r.Head())
	}
	s := r.Source(0)
	f1, l1, _ := h.Bounds(t.Context())
	if f, l, err := s.Bounds(t.Context()); f != f1 || l != l1 || err != nil {
		t.Errorf("bounds %+v to %+v, want %+v to %+v", f, l, f1, l1)
	}
	for _, span := range [][2]events.Position{{1, 1402}, {1, 1}, {1402, 1402}, {63, 66}, {700, 1300}} {
		var got, want []events.Delivery
		keep := func(to *[]events.Delivery) events.Sink {
			return func(b []events.Delivery) error { *to = append(*to, b...); return nil }
		}
		if err := errors.Join(s.Read(t.Context(), span[0], span[1], keep(&got)), h.Read(t.Context(), span[0], span[1], keep(&want))); err != nil {
			t.Fatal(span, err)
		}
		if !slices.EqualFunc(got, want, func(a, b events.Delivery) bool { return a.Mark == b.Mark && bytes.Equal(a.Data, b.Data) }) {
			t.Errorf("%d to %d: %d records differ from the log's %d", span[0], span[1], len(got), len(want))
		}
		m, err := s.MarkAt(t.Context(), span[1])
		if err != nil || m != want[len(want)-1].Mark {
			t.Errorf("mark at %d: %+v, %v", span[1], m, err)
		}
	}
	if m, err := s.MarkAt(t.Context(), 1403); m != (events.Mark{}) || err != nil {
		t.Errorf("mark behind the end: %+v, %v", m, err)
	}
	failure := errors.New("enough")
	if err := s.Read(t.Context(), 1, 1402, func([]events.Delivery) error { return failure }); err != failure {
		t.Errorf("a sink's error came back as %v", err)
	}
}

// People read archives too, with what they know of NDJSON.
func TestArchiveIsReadable(t *testing.T) {
	text := string(archive(t, someHistory(t, 1), Options{}))
	for _, want := range []string{`"domain":"shop"`, `"kind":"put","keys":["key:0"],"tags":["tag"]`, `"cause":"db#0"`, `"problem":`, `"end":true`} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %s:\n%s", want, text)
		}
	}
}

// What is torn, damaged, foreign or of a later version is refused, and the line
// is named.
func TestArchiveRefuses(t *testing.T) {
	whole := string(archive(t, someHistory(t, 3), Options{}))
	rows := strings.SplitAfter(whole, "\n") // head, 8 records, end, ""
	for _, c := range []struct {
		name, text string
		line       int
		says       string
	}{
		{"empty", "", 1, "ends without"},
		{"foreign", resum(`{"hello":"world"`), 1, "not an archive"},
		{"text", "hello\n", 1, "sum"},
		{"later version", resum(strings.Replace(bare(rows[0]), `"version":1`, `"version":2`, 1)), 1, "version 2"},
		{"torn within a line", strings.Join(rows[:4], "") + rows[4][:len(rows[4])/2], 5, "cut short"},
		{"torn behind a line", strings.Join(rows[:4], ""), 5, "without its last line"},
		{"torn before the newline", strings.TrimSuffix(whole, "\n"), 10, "cut short"},
		{"a byte", strings.Replace(whole, "key:1", "key:9", 1), 5, "sum"},
		{"a line gone", strings.Join(slices.Concat(rows[:3], rows[4:]), ""), 4, "missing"},
		{"the last record gone", strings.Join(slices.Concat(rows[:8], rows[9:]), ""), 9, "there are 7"},
		{"a line twice", strings.Join(slices.Concat(rows[:4], rows[3:]), ""), 5, "behind position"},
		{"more behind the end", whole + rows[3], 11, "behind the last line"},
		{"another partition", strings.Join(rows[:2], "") + resum(strings.Replace(bare(rows[2]), `"partition":0`, `"partition":3`, 1)), 3, "partitions"},
		{"no identity", strings.Join(rows[:2], "") + resum(strings.Replace(bare(rows[2]), `"id":"0`, `"id":"x`, 1)), 3, "record id"},
		{"no record", strings.Join(rows[:2], "") + resum(`{"position":"x"`), 3, "not a record"},
	} {
		_, err := OpenArchive(strings.NewReader(c.text))
		var where *ArchiveError
		if !errors.As(err, &where) || !errors.Is(err, ErrArchive) || where.Line != c.line || !strings.Contains(where.Reason, c.says) {
			t.Errorf("%s: %v, want line %d: %s", c.name, err, c.line, c.says)
		}
	}
}

// resum is a line with a sum that is right.
func resum(front string) string { return string(summed([]byte(front))) }

// bare is a line without its sum and its brace.
func bare(row string) string {
	i := strings.LastIndex(row, sumField)
	return row[:i]
}

func FuzzArchive(f *testing.F) {
	f.Add(archive(f, someHistory(f, 2), Options{}))
	f.Add([]byte(resum(`{"archive":"tercet","version":1,"settings":{}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := OpenArchive(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrArchive) {
				t.Errorf("not an ErrArchive: %v", err)
			}
			return
		}
		for p := range r.Head().Settings.Partitions {
			first, last, _ := r.Source(p).Bounds(t.Context())
			if first.Position == 0 {
				continue
			}
			if err := r.Source(p).Read(t.Context(), first.Position, last.Position, func([]events.Delivery) error { return nil }); err != nil {
				t.Errorf("an archive that was approved can't be read: %v", err)
			}
		}
	})
}
