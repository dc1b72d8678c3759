package seal_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers/seal"
)

var (
	first  = strings.Repeat("a", 32)
	second = strings.Repeat("b", 32)
)

func ring(t *testing.T, text string) *seal.Ring {
	t.Helper()
	r, err := seal.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRotation(t *testing.T) {
	a := "1:" + base64.StdEncoding.EncodeToString([]byte(first))
	b := "2:" + hex.EncodeToString([]byte(second))
	old, between, latest, bare := ring(t, a), ring(t, a+","+b), ring(t, b+"\n"+a+"\n"), ring(t, b)
	place := []byte("here")
	was := old.Seal(nil, []byte("value"), place)
	is := latest.Seal(nil, []byte("value"), place)
	for _, x := range []struct {
		name   string
		r      *seal.Ring
		sealed []byte
		opens  bool
	}{
		{"old by old", old, was, true}, {"old by latest", latest, was, true}, {"new by between", between, is, true},
		{"new by latest", latest, is, true}, {"new by old", old, is, false}, {"old, its key gone", bare, was, false},
	} {
		got, err := x.r.Open(nil, x.sealed, place)
		if x.opens != (err == nil && string(got) == "value") || !x.opens && !errors.Is(err, seal.ErrNotOpened) {
			t.Errorf("%s: %q, %v", x.name, got, err)
		}
	}
}

// G6: not a bit may change, and not the place.
func TestWhatWasChangedDoesNotOpen(t *testing.T) {
	r := ring(t, "7:"+hex.EncodeToString([]byte(first)))
	sealed := r.Seal(nil, []byte("value"), []byte("here"))
	for i := range 8 * len(sealed) {
		b := []byte(string(sealed))
		b[i/8] ^= 1 << (i % 8)
		if _, err := r.Open(nil, b, []byte("here")); !errors.Is(err, seal.ErrNotOpened) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := r.Open(nil, sealed[:n], []byte("here")); !errors.Is(err, seal.ErrNotOpened) {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
	if _, err := r.Open(nil, sealed, []byte("there")); !errors.Is(err, seal.ErrNotOpened) {
		t.Fatalf("elsewhere: %v", err)
	}
}

func TestParseRefusesAndKeepsSilent(t *testing.T) {
	good := hex.EncodeToString([]byte(first))
	for _, text := range []string{good, "x:" + good, "1:" + good[:62], "1:" + good + ",1:" + good, "1:" + good[:63] + "z", "4294967296:" + good} {
		r, err := seal.Parse(text)
		if !errors.Is(err, events.ErrInvalid) || r != nil {
			t.Errorf("%d characters: %v, %v", len(text), r, err)
		}
		if err != nil && strings.Contains(err.Error(), good[:16]) {
			t.Errorf("the error shows a key: %v", err)
		}
	}
	if r, err := seal.Parse(" \n"); r != nil || err != nil {
		t.Errorf("an empty text: %v, %v", r, err)
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("3:"+good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := seal.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if said := fmt.Sprintf(verb, r); said != "seal keys [3]" {
			t.Errorf("%s prints %q", verb, said)
		}
	}
}
