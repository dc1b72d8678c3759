package tiers_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// What any released build wrote to a disk, every later one of the same store
// format reads.
func TestShortGolden(t *testing.T) {
	for name, g := range golden() {
		e, err := tiers.Append(nil, &g.h, []byte(g.payload))
		if err != nil {
			t.Fatal(err)
		}
		text := hex.EncodeToString(tiers.AppendShort(nil, e, 1)) + "\n"
		file := filepath.Join("testdata", "short-1-"+name+".hex")
		if *rewrite {
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
		back, err := tiers.ParseShort(nil, b, g.h.Key, g.h.Epoch, 1)
		if err != nil || !bytes.Equal(back, e) {
			t.Errorf("%s: comes back as\n%x, want\n%x; %v", name, []byte(back), []byte(e), err)
		}
	}
}

// The entry comes back to the byte, in the caller's memory where there is room.
func TestShortRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := header(t)
		near := events.Position(rapid.Uint64().Draw(t, "near"))
		e, err := tiers.Append(nil, &h, rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "payload"))
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		before := []byte("before")
		short := tiers.AppendShort(bytes.Clone(before), e, near)
		if !bytes.HasPrefix(short, before) {
			t.Fatalf("appended to %q: %x", before, short)
		}
		dst := make([]byte, 3, 4096)
		back, err := tiers.ParseShort(dst, short[len(before):], h.Key, h.Epoch, near)
		if err != nil || !bytes.Equal(back, e) {
			t.Fatalf("%x, want %x; %v", []byte(back), []byte(e), err)
		}
		if len(e) < 4000 && &back[0] != &dst[0] {
			t.Fatal("not in the caller's memory, though there is room")
		}
	})
}

// A flipped bit, a cut, a byte more, another place: found, or the same entry.
func TestShortDamage(t *testing.T) {
	for name, g := range golden() {
		e, err := tiers.Append(nil, &g.h, []byte(g.payload))
		if err != nil {
			t.Fatal(err)
		}
		short := tiers.AppendShort(nil, e, 1)
		refused := func(what string, b []byte, key string, epoch events.Epoch, near events.Position) {
			t.Helper()
			if back, err := tiers.ParseShort(nil, b, key, epoch, near); !errors.Is(err, tiers.ErrCorrupt) {
				t.Errorf("%s, %s: %x, %v, want ErrCorrupt", name, what, []byte(back), err)
			}
		}
		for bit := range 8 * len(short) {
			b := bytes.Clone(short)
			b[bit/8] ^= 1 << (bit % 8)
			refused("a bit flipped", b, g.h.Key, g.h.Epoch, 1)
		}
		for n := range len(short) {
			refused("cut", short[:n], g.h.Key, g.h.Epoch, 1)
		}
		refused("a byte more", append(bytes.Clone(short), 0), g.h.Key, g.h.Epoch, 1)
		refused("another key", short, g.h.Key+"0", g.h.Epoch, 1)
		refused("no key", short, "", g.h.Epoch, 1)
		refused("an endless key", short, strings.Repeat("k", 1<<17), g.h.Epoch, 1)
		refused("another epoch", short, g.h.Key, g.h.Epoch+1, 1)
		refused("another position", short, g.h.Key, g.h.Epoch, 2)
	}
}

func FuzzParseShort(f *testing.F) {
	for _, g := range golden() {
		e, err := tiers.Append(nil, &g.h, []byte(g.payload))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(tiers.AppendShort(nil, e, 1), g.h.Key, uint64(g.h.Epoch), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, key string, epoch, near uint64) {
		e, err := tiers.ParseShort(nil, b, key, events.Epoch(epoch), events.Position(near))
		if err != nil {
			if !errors.Is(err, tiers.ErrCorrupt) {
				t.Fatalf("%v is no ErrCorrupt", err)
			}
			return
		}
		if e.Key() != key || uint64(e.Epoch()) != epoch {
			t.Fatalf("an entry of %q in epoch %x came out under %q in %x", e.Key(), e.Epoch(), key, epoch)
		}
		again, err := tiers.ParseShort(nil, tiers.AppendShort(nil, e, events.Position(near)), key, events.Epoch(epoch), events.Position(near))
		if err != nil || !bytes.Equal(again, e) {
			t.Fatalf("%x came back as %x; %v", []byte(e), []byte(again), err)
		}
	})
}
