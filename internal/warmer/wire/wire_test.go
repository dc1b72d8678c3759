package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

func summary() wire.Summary {
	return wire.Summary{Node: "n1", Window: time.Second, Reads: []wire.Read{
		{Key: "product:1:page", Count: 48, Tags: []string{"category:tea"}},
		{Key: "\x00\xff", Count: 1},
	}}
}

func request() wire.Request {
	return wire.Request{Keys: []string{"a", "b:1"}, Position: 1 << 40, Deadline: time.UnixMilli(1_700_000_000_123)}
}

// The bytes are those of the first release; they are never to change.
const (
	goldenSummary = "9401a26e31cd03e89293ae70726f647563743a313a706167653091ac63617465676f72793a74656193a200ff0190"
	goldenRequest = "940192a161a3623a31cf0000010000000000cf0000018bcfe5687b"
)

func TestGolden(t *testing.T) {
	s, q := summary(), request()
	b, err := s.Append(nil)
	if err != nil || hex.EncodeToString(b) != goldenSummary {
		t.Errorf("summary: %x, %v; want %s", b, err, goldenSummary)
	}
	if got, err := wire.DecodeSummary(b); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("summary came back as %+v, %v", got, err)
	}
	b, err = q.Append(nil)
	if err != nil || hex.EncodeToString(b) != goldenRequest {
		t.Errorf("request: %x, %v; want %s", b, err, goldenRequest)
	}
	if got, err := wire.DecodeRequest(b); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("request came back as %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	list := func(n uint32, rest ...byte) []byte { return append(msgp.AppendArrayHeader(nil, n), rest...) }
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                 {nil, wire.ErrMalformed},
		"not an array":            {[]byte{0xc0}, wire.ErrMalformed},
		"newer version":           {list(4, 2, 0xa1, 'n', 1, 0x90), wire.ErrUnknown},
		"elements beyond the end": {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff, 1}, wire.ErrMalformed},
		"too few fields":          {list(2, 1, 0xa1, 'n', 1, 0x90), wire.ErrMalformed},
		"bytes behind the end":    {list(4, 1, 0xa1, 'n', 1, 0x90, 0xc0), wire.ErrMalformed},
		"window of zero":          {list(4, 1, 0xa1, 'n', 0, 0x90), wire.ErrMalformed},
		"empty node":              {list(4, 1, 0xa0, 1, 0x90), wire.ErrMalformed},
		"long string":             {list(4, 1, 0xdb, 0xff, 0xff, 0xff, 0xff), wire.ErrMalformed},
		"too many keys":           {list(4, append([]byte{1, 0xa1, 'n', 1, 0xdc, 0xff, 0xff}, make([]byte, 1<<16)...)...), wire.ErrMalformed},
		"larger than any":         {bytes.Repeat([]byte{0x90}, wire.MaxMessage+1), wire.ErrMalformed},
	} {
		if _, err := wire.DecodeSummary(tc.data); !errors.Is(err, tc.want) {
			t.Errorf("summary, %s: %v, want %v", name, err, tc.want)
		}
	}
}

func TestDecodeSkipsWhatALaterBuildAppended(t *testing.T) {
	b := []byte{0x95, 1, 0xa1, 'n', 1, 0x91 /* read: */, 0x94, 0xa1, 'k', 7, 0x90, 0xc3 /* appended: */, 0x92, 1, 2}
	s, err := wire.DecodeSummary(b)
	if err != nil || len(s.Reads) != 1 || s.Reads[0].Key != "k" || s.Reads[0].Count != 7 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAppendRefusesWhatDecodeWould(t *testing.T) {
	for name, change := range map[string]func(*wire.Summary){
		"no node":       func(s *wire.Summary) { s.Node = "" },
		"no window":     func(s *wire.Summary) { s.Window = 0 },
		"long window":   func(s *wire.Summary) { s.Window = wire.MaxWindow + 1 },
		"empty key":     func(s *wire.Summary) { s.Reads[0].Key = "" },
		"long key":      func(s *wire.Summary) { s.Reads[0].Key = strings.Repeat("k", events.MaxKey+1) },
		"too many tags": func(s *wire.Summary) { s.Reads[0].Tags = make([]string, wire.MaxTags+1) },
		"empty tag":     func(s *wire.Summary) { s.Reads[0].Tags = []string{""} },
		"too many keys": func(s *wire.Summary) { s.Reads = make([]wire.Read, wire.MaxReads+1) },
		"too large": func(s *wire.Summary) {
			s.Reads = s.Reads[:0]
			for range 100 {
				s.Reads = append(s.Reads, wire.Read{Key: strings.Repeat("k", events.MaxKey)})
			}
		},
	} {
		s := summary()
		change(&s)
		if b, err := s.Append([]byte("x")); !errors.Is(err, wire.ErrMalformed) || string(b) != "x" {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	for name, q := range map[string]wire.Request{
		"no keys":     {Deadline: time.Now()},
		"no deadline": {Keys: []string{"k"}},
		"empty key":   {Keys: []string{""}, Deadline: time.Now()},
		"many keys":   {Keys: make([]string, wire.MaxKeys+1), Deadline: time.Now()},
	} {
		if _, err := q.Append(nil); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("request, %s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range []string{goldenSummary, goldenRequest} {
		b, err := hex.DecodeString(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := wire.DecodeSummary(b); err == nil {
			again, err := s.Append(nil)
			if err != nil {
				t.Fatalf("decoded, but can't be encoded: %v", err)
			}
			if back, err := wire.DecodeSummary(again); err != nil || !reflect.DeepEqual(back, s) {
				t.Fatalf("%+v came back as %+v, %v", s, back, err)
			}
		} else if !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrUnknown) {
			t.Fatalf("untyped error %v", err)
		}
		if q, err := wire.DecodeRequest(b); err == nil {
			if _, err := q.Append(nil); err != nil {
				t.Fatalf("decoded, but can't be encoded: %v", err)
			}
		}
	})
}
