package tiers_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew; never for a format that was released")

// golden holds one entry for each shape of a header.
func golden() map[string]struct {
	h       tiers.Header
	payload string
} {
	at := time.UnixMilli(1_700_000_000_123)
	return map[string]struct {
		h       tiers.Header
		payload string
	}{
		"bare":      {tiers.Header{Key: "k"}, ""},
		"soft":      {tiers.Header{Key: "user:1", Epoch: 1, Birth: 2, Created: at, Expiry: at.Add(time.Hour), SoftExpiry: at.Add(time.Minute)}, "soft"},
		"versioned": {tiers.Header{Key: "user:1", Epoch: 1, Birth: 2, Created: at, Version: events.Version{N: 77, Known: true}}, "v"},
		"kept":      {tiers.Header{Key: "user:1", Epoch: 1, Birth: 2, Created: at, Expiry: at.Add(time.Hour), StaleUntil: at.Add(2 * time.Hour)}, "kept"},
		"validated": {tiers.Header{Key: "user:1", Epoch: 1, Birth: 2, Created: at, Expiry: at.Add(time.Hour), Validator: `W/"7"`, Tags: []string{"t"}}, "v"},
		"full": {tiers.Header{
			Key: "user:1:profile", Epoch: 0xfedcba9876543210, Birth: 1<<53 + 1, Created: at,
			Expiry: at.Add(time.Hour), SoftExpiry: at.Add(time.Minute), Version: events.Version{N: 77, Known: true},
			Tags: []string{"team:7", "плата"}, Flags: tiers.FlagNegative | tiers.FlagLowPriority | tiers.FlagHighPriority, Codec: 9,
		}, "all of it"},
	}
}

// What any released build wrote, every later one reads.
func TestGolden(t *testing.T) {
	for name, g := range golden() {
		file := filepath.Join("testdata", "entry-1-"+name+".hex")
		e, err := tiers.Append(nil, &g.h, []byte(g.payload))
		if err != nil {
			t.Fatal(err)
		}
		text := hex.EncodeToString(e) + "\n"
		if *rewrite {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s: encodes to\n%swant\n%s", name, text, want)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(want)))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := tiers.Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameHeader(t, parsed.Header(), g.h)
		if string(parsed.Payload()) != g.payload {
			t.Errorf("%s: payload %q, want %q", name, parsed.Payload(), g.payload)
		}
	}
}

type tester interface {
	Helper()
	Fatalf(string, ...any)
}

func sameHeader(t tester, got, want tiers.Header) {
	t.Helper()
	tags := strings.Join(got.Tags, "\x00") == strings.Join(want.Tags, "\x00") && len(got.Tags) == len(want.Tags)
	if got.Key != want.Key || got.Epoch != want.Epoch || got.Birth != want.Birth || got.Version != want.Version ||
		got.Flags != want.Flags || got.Codec != want.Codec || !tags || got.Validator != want.Validator || !sameTime(got.StaleUntil, want.StaleUntil) ||
		!sameTime(got.Created, want.Created) || !sameTime(got.Expiry, want.Expiry) || !sameTime(got.SoftExpiry, want.SoftExpiry) {
		t.Fatalf("header\n%+v, want\n%+v", got, want)
	}
}

func sameTime(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && (a.IsZero() || a.UnixMilli() == b.UnixMilli())
}

func header(t *rapid.T) tiers.Header {
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		ms := rapid.Int64Range(-1<<40, 1<<45).Draw(t, "ms")
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms)
	})
	h := tiers.Header{
		Key:        string(rapid.SliceOfN(rapid.Byte(), 1, events.MaxKey).Draw(t, "key")),
		Epoch:      events.Epoch(rapid.Uint64().Draw(t, "epoch")),
		Birth:      events.Position(rapid.Uint64().Draw(t, "birth")),
		Created:    moment.Draw(t, "created"),
		Expiry:     moment.Draw(t, "expiry"),
		SoftExpiry: moment.Draw(t, "soft"),
		Codec:      tiers.Codec(rapid.Byte().Draw(t, "codec")),
		Flags:      tiers.Flags(rapid.Byte().Draw(t, "flags")) & (tiers.FlagNegative | tiers.FlagLowPriority | tiers.FlagHighPriority),
	}
	if rapid.Bool().Draw(t, "extended") {
		h.StaleUntil = moment.Draw(t, "stale until")
		h.Validator = string(rapid.SliceOfN(rapid.Byte(), 0, tiers.MaxValidator).Draw(t, "validator"))
	}
	if rapid.Bool().Draw(t, "versioned") {
		h.Version = events.Version{N: rapid.Uint64().Draw(t, "version"), Known: true}
	}
	for range rapid.IntRange(0, events.MaxTags).Draw(t, "tags") {
		h.Tags = append(h.Tags, string(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "tag")))
	}
	return h
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := header(t)
		payload := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "payload")
		before := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "before")
		e, err := tiers.Append(bytes.Clone(before), &h, payload)
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		if len(e) != tiers.EncodedLen(&h, len(payload)) {
			t.Fatalf("%d bytes, EncodedLen says %d", len(e), tiers.EncodedLen(&h, len(payload)))
		}
		p, err := tiers.Parse(bytes.Clone(e))
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		sameHeader(t, p.Header(), h)
		if p.Key() != h.Key || !bytes.Equal(p.Payload(), payload) || p.HasTags() != (len(h.Tags) > 0) {
			t.Fatalf("%q with payload %x", p.Key(), p.Payload())
		}
		// Stamping changes two fields and nothing else.
		p.Stamp(h.Epoch+1, h.Birth+1)
		if p, err = tiers.Parse(p); err != nil {
			t.Fatalf("parse what was stamped: %v", err)
		}
		h.Epoch, h.Birth = h.Epoch+1, h.Birth+1
		sameHeader(t, p.Header(), h)
	})
}

// Any damage is found: one flipped bit, a cut, a byte more.
func TestDamage(t *testing.T) {
	for name, g := range golden() {
		e, err := tiers.Append(nil, &g.h, []byte(g.payload))
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(e) {
			b := bytes.Clone(e)
			b[bit/8] ^= 1 << (bit % 8)
			if _, err := tiers.Parse(b); !errors.Is(err, tiers.ErrCorrupt) {
				t.Errorf("%s, bit %d flipped: %v, want ErrCorrupt", name, bit, err)
			}
		}
		for n := range len(e) {
			if _, err := tiers.Parse(e[:n]); !errors.Is(err, tiers.ErrCorrupt) {
				t.Errorf("%s, cut to %d: %v, want ErrCorrupt", name, n, err)
			}
		}
		if _, err := tiers.Parse(append(bytes.Clone(e), 0)); !errors.Is(err, tiers.ErrCorrupt) {
			t.Errorf("%s and a byte more: %v, want ErrCorrupt", name, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	many := make([]string, events.MaxTags+1)
	for i := range many {
		many[i] = "t"
	}
	for name, h := range map[string]tiers.Header{
		"no key":       {},
		"long key":     {Key: strings.Repeat("k", events.MaxKey+1)},
		"empty tag":    {Key: "k", Tags: []string{""}},
		"long tag":     {Key: "k", Tags: []string{strings.Repeat("t", events.MaxTag+1)}},
		"many tags":    {Key: "k", Tags: many},
		"unknown flag": {Key: "k", Flags: 1 << 7},
		"validator":    {Key: "k", Validator: strings.Repeat("v", tiers.MaxValidator+1)},
	} {
		if _, err := tiers.Append(nil, &h, nil); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestExpired(t *testing.T) {
	end := time.UnixMilli(1000)
	for _, c := range []struct {
		expiry time.Time
		now    int64
		want   bool
	}{
		{end, 999, false}, {end, 1000, true}, {end, 1001, true}, {time.Time{}, 1 << 60, false},
		{time.UnixMilli(0), 0, true}, {time.UnixMilli(-5), 1, true},
	} {
		h := tiers.Header{Key: "k", Expiry: c.expiry}
		e, err := tiers.Append(nil, &h, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Expired(c.now); got != c.want {
			t.Errorf("expiry %v at %d: %v, want %v", c.expiry, c.now, got, c.want)
		}
	}
}

// The ends of a life: due, expired, no longer kept.
func TestLife(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	ahead := tiers.MaxSkew.Milliseconds()
	for _, c := range []struct {
		h                   tiers.Header
		now                 int64
		due, expired, ended bool
	}{
		{tiers.Header{}, 1 << 60, false, false, false},
		{tiers.Header{Expiry: at(20)}, 19, false, false, false},
		{tiers.Header{Expiry: at(20)}, 20, true, true, true},
		{tiers.Header{Expiry: at(20), StaleUntil: at(30)}, 20, true, true, false},
		{tiers.Header{Expiry: at(20), StaleUntil: at(30)}, 30, true, true, true},
		{tiers.Header{Expiry: at(20), StaleUntil: at(10)}, 19, false, false, false},
		{tiers.Header{Expiry: at(20), Validator: "v"}, 20, true, true, true},
		{tiers.Header{Expiry: at(-20), Validator: "v"}, 0, true, true, true},
		{tiers.Header{StaleUntil: at(30)}, 31, false, false, false},
		{tiers.Header{Expiry: at(20), SoftExpiry: at(10)}, 9, false, false, false},
		{tiers.Header{Expiry: at(20), SoftExpiry: at(10)}, 10, true, false, false},
		{tiers.Header{Created: at(ahead + 5)}, 5, false, false, false},
		{tiers.Header{Created: at(ahead + 6)}, 5, true, false, false},
	} {
		c.h.Key = "k"
		e, err := tiers.Append(nil, &c.h, nil)
		if err != nil {
			t.Fatal(err)
		}
		if due, expired, ended := e.Due(c.now), e.Expired(c.now), e.Ended(c.now); due != c.due || expired != c.expired || ended != c.ended {
			t.Errorf("%+v at %d: due %v, expired %v, ended %v", c.h, c.now, due, expired, ended)
		}
	}
}

func TestShortened(t *testing.T) {
	h := tiers.Header{Key: "k", Birth: 7, Expiry: time.UnixMilli(20), StaleUntil: time.UnixMilli(40), Tags: []string{"t"}}
	e, err := tiers.Append(nil, &h, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	if longer := e.Shortened(20); &longer[0] != &e[0] {
		t.Error("copied although it ends in time")
	}
	short, err := tiers.Parse(e.Shortened(10))
	if err != nil {
		t.Fatal(err)
	}
	want := h
	want.Expiry = time.UnixMilli(10)
	sameHeader(t, short.Header(), want)
	sameHeader(t, e.Header(), h)
}

func FuzzParse(f *testing.F) {
	for _, g := range golden() {
		e, err := tiers.Append(nil, &g.h, []byte(g.payload))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(e), true)
		f.Add([]byte(e[:len(e)/2]), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed && len(b) >= 44 {
			// Sealed by a writer that wrote nonsense: past the checksum.
			tiers.Entry(b).Stamp(3, 4)
		}
		e, err := tiers.Parse(b)
		if err != nil {
			if !errors.Is(err, tiers.ErrCorrupt) {
				t.Fatalf("%v is no ErrCorrupt", err)
			}
			return
		}
		// What was approved can be read to the last byte, and written again:
		// the same bytes, if keys and tags are in order.
		h := e.Header()
		again, err := tiers.Append(nil, &h, e.Payload())
		if err != nil {
			t.Fatalf("parsed, but can't be written: %v", err)
		}
		if !bytes.Equal(again, e) {
			t.Fatalf("parsed\n%x, written again\n%x", []byte(e), []byte(again))
		}
	})
}
