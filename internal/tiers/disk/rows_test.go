package disk

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

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew; never for a format that was released")

// Rows of this format lie as those that earlier builds wrote.
func TestGoldenRows(t *testing.T) {
	s := open1(t, Config{})
	at := time.UnixMilli(1_700_000_000_123)
	full := tiertest.Make(t, tiers.Header{
		Key: "user:1", Epoch: 0xfedcba9876543210, Birth: 1<<40 + 7, Created: at, Expiry: at.Add(time.Hour), Tags: []string{"team:7"},
	}, []byte("value"))
	for name, x := range map[string]struct {
		fence tiers.Fence
		e     tiers.Entry
	}{
		"never-fenced": {fence(0, 0), tiertest.Make(t, tiers.Header{Key: "user:1", Epoch: full.Epoch(), Birth: 300}, []byte("v"))},
		"fenced":       {fence(300, 300), nil},
		"softened":     {fence(300, 70_000), nil},
		"put":          {fence(1<<40+7, 1<<40+7), full},
	} {
		row := rowOf(t, s, "user:1", x.fence, x.e)
		text := hex.EncodeToString(row) + "\n"
		file := filepath.Join("testdata", "row-"+Format+"-"+name+".hex")
		if *rewrite {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s: lies as\n%swant\n%s", name, text, want)
		}
		raw, err := hex.DecodeString(strings.TrimSpace(string(want)))
		if err != nil {
			t.Fatal(err)
		}
		plant(t, s, "user:1", raw)
		found, err := s.Lookup("user:1", nil)
		if err != nil || found.Fence != x.fence || !bytes.Equal(found.Entry, x.e) {
			t.Errorf("%s: reads as %+v, %v", name, found, err)
		}
	}
}

// A small value takes little more than its key and its bytes.
func TestRowsAreShort(t *testing.T) {
	s := open1(t, Config{})
	now := time.UnixMilli(1_800_000_000_000)
	e := tiertest.Make(t, tiers.Header{
		Key: "product:10000000", Epoch: 1 << 63, Birth: 1_000_000, Created: now, Expiry: now.Add(time.Hour),
	}, make([]byte, 100))
	const most = 30
	for _, f := range []tiers.Fence{fence(0, 0), fence(1_000_000, 1_000_000)} {
		if n := len(rowOf(t, s, e.Key(), f, e)) - 100; n > most {
			t.Errorf("a row under fence %v takes %d bytes beside its value, at most %d", f, n, most)
		}
	}
}

// Values of many epochs lie in one store, and come back as they were after it
// was opened again.
func TestEpochs(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, Config{Dir: dir})
	put := func(key string, epoch events.Epoch) tiers.Entry {
		t.Helper()
		e := tiertest.Make(t, tiers.Header{Key: key, Epoch: epoch, Birth: 3}, []byte(key))
		if err := s.Fill(0, e, nil); err != nil {
			t.Fatal(err)
		}
		return e
	}
	holds := func(es ...tiers.Entry) {
		t.Helper()
		for _, e := range es {
			if found, err := s.Lookup(e.Key(), nil); err != nil || !bytes.Equal(found.Entry, e) {
				t.Fatalf("%s: %x, %v, want %x", e.Key(), found.Entry, err, e)
			}
		}
	}
	a, b, c := put("a", 7), put("b", 0), put("c", 7)
	holds(a, b, c)
	batch := s.Batch(0)
	batch.DropValues() // as a change of epoch does; numbers stay
	batch.SetMeta("kept", nil)
	mustCommit(t, batch)
	d := put("d", 9)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open1(t, Config{Dir: dir})
	holds(d)
	a = put("a", 7)
	holds(d, a)
	if got := s.epochs.known(); len(got) != 3 {
		t.Fatalf("epochs %v are numbered, want 7, 0 and 9", got)
	}
}

// An epoch that can't be read may not be numbered anew: the store is set aside.
func TestDamagedEpochs(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, Config{Dir: dir})
	if err := s.Fill(0, tiertest.Entry(t, "k", 1, "v"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.set(epochName(0), []byte("rubbish")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open1(t, Config{Dir: dir})
	if o := s.Opened(); !o.Fresh || !errors.Is(o.Cause, ErrCorruptRow) {
		t.Fatalf("opened as %+v, want afresh for a corrupt row", o)
	}
}

// Whatever lies in a row, reading it ends in a value that was sealed for its
// key or in none.
func FuzzRow(f *testing.F) {
	s := open1(f, Config{})
	name := rowName(s, "k")
	good := tiertest.Entry(f, "k", 6, "v")
	f.Add(rowOf(f, s, "k", fence(5, 6), good), false)
	f.Add(rowOf(f, s, "k", fence(5, 6), nil), false)
	f.Add(rowOf(f, s, "k", fence(1<<60, 6), good)[4:], true)
	f.Fuzz(func(t *testing.T, row []byte, sealed bool) {
		if sealed {
			row = append(appendFence(nil, name, fence(5, 6)), row...) // past the first checksum
		}
		fence, held, err := parseRow(name, row)
		if err != nil {
			if !errors.Is(err, ErrCorruptRow) {
				t.Fatalf("%v is no ErrCorruptRow", err)
			}
			return
		}
		if e, err := s.value(nil, held, "k", fence); err == nil && (e.Key() != "k" || e.Birth() < fence.Hard) {
			t.Fatalf("%q born at %d, fenced at %d", e.Key(), e.Birth(), fence.Hard)
		} else if err != nil && !errors.Is(err, tiers.ErrCorrupt) {
			t.Fatalf("%v is no ErrCorrupt", err)
		}
	})
}
