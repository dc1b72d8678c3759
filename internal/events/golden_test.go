package events_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; never for a version that was released")

// Every record that version 1 ever wrote is read today, and what is written
// today is what version 1 wrote.
func TestGoldenWireV1(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got, err := events.AppendRecord(nil, s.record)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "wire-v1", s.name+".hex")
			if *rewrite {
				writeHex(t, file, got)
			}
			want := readHex(t, file)
			if !bytes.Equal(got, want) {
				t.Errorf("writes\n%x\nversion 1 wrote\n%x", got, want)
			}
			back, err := events.DecodeRecord(want)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, s.record) {
				t.Errorf("read\n%+v\nwritten was\n%+v", back.Changes[0], s.record.Changes[0])
			}
		})
	}
}

// A later build of the same version may append fields: they are skipped.
func TestAppendedFieldsAreSkipped(t *testing.T) {
	// An epoch change with an array and a string behind its two fields.
	b := []byte{events.WireVersion, 0x91, 0x95, 0x06, 0x07, 0xa1, 'w', 0x92, 0x01, 0xc0, 0xa1, 'x'}
	r, err := events.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := r.Changes[0].(*events.EpochChange); !ok || e.Epoch != 7 || e.Why != "w" {
		t.Fatalf("read %+v", r.Changes[0])
	}
}

// P19: a fence of everything stands for what an older build can't read. For
// these it would not do, so every build writes them as the first one did; what
// is raised here with [events.WireVersion] breaks fleets that upgrade.
func TestWhatNoFenceStandsForKeepsTheFirstVersion(t *testing.T) {
	frozen := 0
	for _, s := range samples() {
		switch s.record.Changes[0].(type) {
		case *events.Pulse, *events.Intent, *events.End, *events.EpochChange:
			frozen++
			b, err := events.AppendRecord(nil, s.record)
			if err != nil || b[0] != 1 {
				t.Errorf("%s is written in version %d, %v", s.name, b[0], err)
			}
		}
	}
	if frozen < 4 {
		t.Errorf("%d samples, want one of each", frozen)
	}
}

func TestDecodeErrorsSayWhatIsWrong(t *testing.T) {
	deep := append([]byte{1, 0x91}, bytes.Repeat([]byte{0x91}, 20)...)
	deep = append(deep, 0xc0)
	for _, c := range []struct {
		name string
		data []byte
		kind error
		says string
	}{
		{"nothing", nil, events.ErrMalformed, "no bytes"},
		{"newer version", []byte{2, 0x90}, events.ErrUnknown, "2, this build knows 1"},
		{"no changes", []byte{1, 0x90}, events.ErrMalformed, "changes"},
		{"unknown kind", []byte{1, 0x91, 0x91, 99}, events.ErrUnknown, "99"},
		{"not an array", []byte{1, 0x01}, events.ErrMalformed, "changes"},
		{"cut short", []byte{1, 0x91, 0x92, 0x04, 0xc4, 16, 1, 2}, events.ErrMalformed, "more than there is"},
		{"declares a billion", []byte{1, 0xdd, 0x3f, 0xff, 0xff, 0xff}, events.ErrMalformed, "more than there is"},
		{"declares a gigabyte", []byte{1, 0x91, 0x92, 0x04, 0xc6, 0x3f, 0xff, 0xff, 0xff}, events.ErrMalformed, "more than there is"},
		{"bytes behind the end", []byte{1, 0x91, 0x91, 99, 0}, events.ErrMalformed, "behind the end"},
		{"nested too deep", deep, events.ErrMalformed, "deeper"},
		{"a map", []byte{1, 0x81, 0x01, 0x01}, events.ErrMalformed, "no place"},
		{"field missing", []byte{1, 0x91, 0x91, 0x04}, events.ErrMalformed, "missing"},
		{"field of another type", []byte{1, 0x91, 0x92, 0x04, 0x07}, events.ErrMalformed, "bracket"},
		{"breaks a rule", append([]byte{1, 0x91, 0x92, 0x04, 0xc4, 16}, make([]byte, 16)...), events.ErrInvalid, "no bracket id"},
		{"too long", make([]byte, events.MaxRecord+1), events.ErrTooLarge, "at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := events.DecodeRecord(c.data)
			var d *events.DecodeError
			if !errors.As(err, &d) || d.Kind != c.kind || !errors.Is(err, c.kind) {
				t.Fatalf("got %v, want a DecodeError of kind %v", err, c.kind)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not say %q", err, c.says)
			}
		})
	}
}

func writeHex(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		out.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readHex(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; a new sample's file is made by: go test ./internal/events -run Golden -rewrite", err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return b
}
