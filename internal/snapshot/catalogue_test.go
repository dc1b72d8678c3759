package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/seal"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// clock gives each image its own second.
type clock struct{ at time.Time }

func (c *clock) now() time.Time {
	c.at = c.at.Add(time.Second)
	return c.at
}

// zeros stand in for randomness, so that names are the same each time.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func catalogue(t testing.TB, s snapshot.Store, change ...func(*snapshot.Config)) *snapshot.Catalogue {
	t.Helper()
	at := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	cfg := snapshot.Config{Domain: "shop", Now: at.now, Random: zeros{}}
	for _, f := range change {
		f(&cfg)
	}
	c, err := snapshot.NewCatalogue(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ring(t testing.TB, letter string) *seal.Ring {
	t.Helper()
	r, err := seal.Parse("1:" + fmt.Sprintf("%x", strings.Repeat(letter, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func places(n int) (all []snapshot.Place) {
	for p := range n {
		all = append(all, snapshot.Place{
			Epoch:  events.Epoch(0xe0 + p),
			Mark:   events.Mark{Position: 1000, ID: events.ID{Publisher: events.Incarnation{1, 2}, Counter: 77}, Time: 1_700_000_000_000_000_000},
			Digest: events.Digest{9, 8, 7}, Horizon: 3, Floor: 4, Members: 2, Brackets: 1,
		})
	}
	return all
}

func create(t testing.TB, c *snapshot.Catalogue, d snapshot.Draft, rows []snapshot.Row) snapshot.Manifest {
	t.Helper()
	if d.Kind == "" {
		d.Kind = snapshot.Full
	}
	if d.Partitions == nil {
		d.Partitions = places(2)
	}
	m, err := c.Create(t.Context(), d, func(add func(snapshot.Row) error) error {
		for _, r := range rows {
			if err := add(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func rowsOf(t testing.TB, c *snapshot.Catalogue, m snapshot.Manifest) (rows []snapshot.Row) {
	t.Helper()
	if err := c.Read(t.Context(), m, func(r snapshot.Row) error {
		r.Held = bytes.Clone(r.Held)
		rows = append(rows, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}

func some(t testing.TB) []snapshot.Row {
	fence := func(hard, soft events.Position) tiers.Fence { return tiers.Fence{Hard: hard, Soft: soft} }
	return []snapshot.Row{
		{Kind: snapshot.Broad, Name: "\x02tag", Fence: fence(10, 11)},
		{Kind: snapshot.Key, Name: "a", Fence: fence(20, 20)},
		{Kind: snapshot.Key, Name: "b", Fence: fence(30, 31), Held: tiertest.Entry(t, "b", 40, "value")},
		{Kind: snapshot.RowVersion, Name: "b", Held: []byte("12345678")},
		{Kind: snapshot.Floor, Fence: fence(4, 4)},
		{Kind: snapshot.State, Name: "world", Held: []byte("state")},
		{Partition: 1, Kind: snapshot.Key, Name: "a", Fence: fence(0, 0), Held: tiertest.Entry(t, "a", 1, strings.Repeat("long ", 200_000))},
		{Partition: 1, Kind: snapshot.State, Name: "world", Held: []byte("state")},
	}
}

func TestRoundTrip(t *testing.T) {
	for name, keys := range map[string]*seal.Ring{"plain": nil, "sealed": ring(t, "k")} {
		t.Run(name, func(t *testing.T) {
			s := &storetest.Memory{}
			c := catalogue(t, s, func(c *snapshot.Config) { c.Keys, c.BytesPerSecond = keys, 1<<30 })
			rows := some(t)
			m := create(t, c, snapshot.Draft{Node: "n1"}, rows)
			if got := rowsOf(t, c, m); !reflect.DeepEqual(got, rows) {
				t.Errorf("read %v, want %v", got, rows)
			}
			all, refused, err := c.List(t.Context())
			if err != nil || len(refused) > 0 || len(all) != 1 || !reflect.DeepEqual(all[0], m) {
				t.Errorf("listed %+v, refused %v, %v, want %+v", all, refused, err, m)
			}
			if m.Rows != 8 || m.Copies != 2 || m.Blocks < 2 || m.RawBytes < 1_000_000 || m.Size > m.RawBytes/10 {
				t.Errorf("counts: %+v", m)
			}
			if sealed := !bytes.Contains(s.Bytes("shop/"+m.ID+".data"), []byte("state")); sealed != (keys != nil) && keys != nil {
				t.Error("a sealed snapshot tells what it holds")
			}
		})
	}
}

// G6, H5: what was born behind the place is not in an image, nor what is no entry;
// an image of fences has no copies.
func TestOnlyWhatThePlaceProves(t *testing.T) {
	c := catalogue(t, &storetest.Memory{})
	rows := []snapshot.Row{
		{Kind: snapshot.Key, Name: "ahead", Held: tiertest.Entry(t, "ahead", 1001, "v")},
		{Kind: snapshot.Key, Name: "at", Held: tiertest.Entry(t, "at", 1000, "v")},
		{Kind: snapshot.Key, Name: "damaged", Held: []byte("damaged")},
	}
	for kind, held := range map[snapshot.Kind]string{snapshot.Full: "at", snapshot.Fences: ""} {
		m := create(t, c, snapshot.Draft{Kind: kind}, rows)
		got := ""
		all := rowsOf(t, c, m)
		for _, r := range all {
			if len(r.Held) > 0 {
				got += r.Name
			}
		}
		if got != held || len(all) != 3 {
			t.Errorf("%s: %d rows, copies of %q, want 3 and of %q", kind, len(all), got, held)
		}
	}
}

// An increment and its base say what a full image would have said, whatever
// changed, came and went.
func TestIncrementsSayWhatAFullImageSays(t *testing.T) {
	for seed := range uint64(40) {
		dice := rand.New(rand.NewPCG(seed, 1))
		c := catalogue(t, &storetest.Memory{}, func(c *snapshot.Config) { c.Keys = ring(t, "k") })
		var base *snapshot.Manifest
		for generation := range 5 {
			var rows []snapshot.Row
			for p := range 2 {
				for k := range 200 {
					if dice.IntN(3) > 0 {
						rows = append(rows, snapshot.Row{Partition: p, Kind: snapshot.RowVersion, Name: fmt.Sprintf("%03d", k), Held: []byte{byte(dice.IntN(3))}})
					}
				}
			}
			m := create(t, c, snapshot.Draft{Base: base}, rows)
			if got := rowsOf(t, c, m); !slices.EqualFunc(got, rows, func(a, b snapshot.Row) bool { return reflect.DeepEqual(a, b) }) {
				t.Fatalf("seed %d, generation %d: read %d rows, want %d", seed, generation, len(got), len(rows))
			}
			if m.Depth != generation {
				t.Errorf("depth %d, want %d", m.Depth, generation)
			}
			base = &m
		}
		// The same once more: nothing is written.
		same := create(t, c, snapshot.Draft{Base: base}, rowsOf(t, c, *base))
		if same.Written != 0 || same.Blocks != 0 || same.Rows != base.Rows {
			t.Errorf("an increment of nothing: %+v", same)
		}
	}
}

func TestIncrementNeedsItsBase(t *testing.T) {
	c := catalogue(t, &storetest.Memory{})
	full := create(t, c, snapshot.Draft{}, some(t))
	m := create(t, c, snapshot.Draft{Base: &full}, some(t)[:3])
	if _, err := c.Create(t.Context(), snapshot.Draft{Kind: snapshot.Fences, Base: &full, Partitions: places(2)}, nil); !errors.Is(err, snapshot.ErrNoBase) {
		t.Errorf("fences on a full image: %v, want ErrNoBase", err)
	}
	if err := c.Remove(t.Context(), full.ID); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), m); !errors.Is(err, snapshot.ErrNoBase) {
		t.Errorf("verify without the base: %v, want ErrNoBase", err)
	}
}

// A creation that fails leaves nothing in the catalogue.
func TestFailedCreation(t *testing.T) {
	s := &storetest.Memory{}
	c := catalogue(t, s)
	broken := errors.New("broken")
	for name, fill := range map[string]func(func(snapshot.Row) error) error{
		"rows fail": func(add func(snapshot.Row) error) error {
			return errors.Join(add(snapshot.Row{Kind: snapshot.Floor}), broken)
		},
		"out of order": func(add func(snapshot.Row) error) error {
			return errors.Join(add(snapshot.Row{Kind: snapshot.Floor}), add(snapshot.Row{Kind: snapshot.Broad}))
		},
	} {
		if _, err := c.Create(t.Context(), snapshot.Draft{Kind: snapshot.Full, Partitions: places(1)}, fill); err == nil {
			t.Errorf("%s: created", name)
		}
	}
	if names, err := s.List(t.Context(), ""); len(names) != 0 || err != nil {
		t.Errorf("left behind: %q, %v", names, err)
	}
}

// Every kind of damage is refused by its name.
func TestRefusals(t *testing.T) {
	const (
		manifest = iota
		data
	)
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 4; return b }
	}
	replace := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	}
	for name, c := range map[string]struct {
		object int
		change func([]byte) []byte
		want   error
	}{
		"manifest cut":             {manifest, cut(10), snapshot.ErrTorn},
		"manifest's first line":    {manifest, func(b []byte) []byte { return b[:10] }, snapshot.ErrTorn},
		"manifest of nothing":      {manifest, func([]byte) []byte { return nil }, snapshot.ErrTorn},
		"manifest changed":         {manifest, replace(`"bytes": `, `"bytes": 1`), snapshot.ErrCorrupt},
		"manifest is another file": {manifest, func([]byte) []byte { return []byte("hello, this is another file, and no manifest") }, snapshot.ErrForeign},
		"manifest of the future":   {manifest, replace("manifest 1 ", "manifest 2 "), snapshot.ErrFuture},
		"data cut":                 {data, cut(1), snapshot.ErrTorn},
		"data cut at a block":      {data, cut(12), snapshot.ErrTorn},
		"data of nothing":          {data, func([]byte) []byte { return nil }, snapshot.ErrTorn},
		"data missing":             {data, nil, snapshot.ErrTorn},
		"data flipped":             {data, flip(-20), snapshot.ErrCorrupt},
		"data flipped in a length": {data, flip(9), snapshot.ErrCorrupt},
		"data and more":            {data, func(b []byte) []byte { return append(b, 0) }, snapshot.ErrCorrupt},
		"data of another":          {data, flip(0), snapshot.ErrCorrupt},
		"data of the future":       {data, func(b []byte) []byte { b[8] = 2; return b }, snapshot.ErrFuture},
	} {
		t.Run(name, func(t *testing.T) {
			s := &storetest.Memory{}
			cat := catalogue(t, s)
			m := create(t, cat, snapshot.Draft{}, some(t)[:6])
			object := "shop/" + m.ID + []string{".manifest", ".data"}[c.object]
			if c.change == nil {
				if err := s.Remove(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			} else {
				s.Set(object, c.change(s.Bytes(object)))
			}
			all, refused, err := cat.List(t.Context())
			switch {
			case err != nil:
				t.Fatal(err)
			case c.object == manifest:
				if len(all) != 0 || len(refused) != 1 || !errors.Is(refused[0], c.want) {
					t.Fatalf("listed %v, refused %v, want %v", all, refused, c.want)
				}
				return
			}
			if err := cat.Verify(t.Context(), all[0]); !errors.Is(err, c.want) {
				t.Fatalf("verify: %v, want %v", err, c.want)
			}
		})
	}
}

func TestBlockErrorsSayWhere(t *testing.T) {
	s := &storetest.Memory{}
	c := catalogue(t, s)
	m := create(t, c, snapshot.Draft{}, some(t))
	name := "shop/" + m.ID + ".data"
	b := s.Bytes(name)
	b[20] ^= 1
	s.Set(name, b)
	var at *snapshot.BlockError
	if err := c.Verify(t.Context(), m); !errors.As(err, &at) || at.Offset != 9 {
		t.Errorf("verify: %v, want a block error at byte 9", err)
	}
}

func TestForeignAndSealed(t *testing.T) {
	s := &storetest.Memory{}
	k := func(letter string) func(*snapshot.Config) {
		return func(c *snapshot.Config) { c.Keys = ring(t, letter) }
	}
	m := create(t, catalogue(t, s, k("k")), snapshot.Draft{}, some(t))
	for name, cfg := range map[string]func(*snapshot.Config){"no keys": func(*snapshot.Config) {}, "others": k("o")} {
		if err := catalogue(t, s, cfg).Verify(t.Context(), m); !errors.Is(err, snapshot.ErrSealed) {
			t.Errorf("%s: %v, want ErrSealed", name, err)
		}
	}
	s.Set("other/"+m.ID+".manifest", s.Bytes("shop/"+m.ID+".manifest"))
	_, refused, err := catalogue(t, s, func(c *snapshot.Config) { c.Domain = "other" }).List(t.Context())
	if err != nil || len(refused) != 1 || !errors.Is(refused[0], snapshot.ErrForeign) {
		t.Errorf("another domain's: refused %v, %v, want ErrForeign", refused, err)
	}
}

// What an earlier version wrote is read for ever.
func TestGolden(t *testing.T) {
	for name, keys := range map[string]*seal.Ring{"plain": nil, "sealed": ring(t, "k")} {
		t.Run(name, func(t *testing.T) {
			rows := some(t)[:6]
			s := &storetest.Memory{}
			c := catalogue(t, s, func(c *snapshot.Config) { c.Keys = keys })
			dir := filepath.Join("testdata", "v1-"+name)
			if *rewrite {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				m := create(t, c, snapshot.Draft{Node: "n1"}, rows)
				for _, object := range []string{".manifest", ".data"} {
					if err := os.WriteFile(filepath.Join(dir, m.ID+object), s.Bytes("shop/"+m.ID+object), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(files) != 2 {
				t.Fatalf("%q, %v", files, err)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				s.Set("shop/"+filepath.Base(f), b)
			}
			all, refused, err := c.List(t.Context())
			if err != nil || len(all) != 1 || len(refused) > 0 {
				t.Fatalf("listed %v, refused %v, %v", all, refused, err)
			}
			if got := rowsOf(t, c, all[0]); !reflect.DeepEqual(got, rows) {
				t.Errorf("read %v, want %v", got, rows)
			}
			if m := all[0]; m.Node != "n1" || !reflect.DeepEqual(m.Partitions, places(2)) || m.Created != time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC) {
				t.Errorf("manifest %+v", m)
			}
		})
	}
}

// No bytes in a store make a reader panic, take what it did not write, or use
// memory without bound.
func FuzzRead(f *testing.F) {
	s := &storetest.Memory{}
	c := catalogue(f, s)
	m := create(f, c, snapshot.Draft{}, some(f)[:6])
	good := s.Bytes("shop/" + m.ID + ".data")
	manifest := s.Bytes("shop/" + m.ID + ".manifest")
	f.Add(manifest, good)
	f.Add(manifest, good[:30])
	f.Add([]byte("tercet snapshot manifest 1 00000000\n{}\n"), []byte("tercetSD\x01\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, object, data []byte) {
		if p, err := snapshot.ParseManifest(object); err == nil {
			if _, err := snapshot.AppendManifest(nil, p); err != nil {
				t.Fatal(err)
			}
		}
		s := &storetest.Memory{}
		s.Set("shop/"+m.ID+".manifest", manifest)
		s.Set("shop/"+m.ID+".data", data)
		if err := catalogue(t, s).Verify(t.Context(), m); (err == nil) != bytes.Equal(data, good) {
			t.Fatalf("verified %d bytes with %v", len(data), err)
		}
	})
}

// sweeper notes what it was asked to sweep.
type sweeper struct {
	storetest.Memory
	prefix string
	before time.Time
}

func (s *sweeper) Sweep(_ context.Context, prefix string, before time.Time) (int, error) {
	s.prefix, s.before = prefix, before
	return 1, nil
}

// Pruning has the store remove what killed writers left in it a day ago.
func TestPruneSweeps(t *testing.T) {
	s := &sweeper{}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := catalogue(t, s, func(c *snapshot.Config) { c.Now = func() time.Time { return now } })
	if pruned, err := c.Prune(t.Context(), snapshot.Retention{}); len(pruned) > 0 || err != nil {
		t.Errorf("pruned %v, %v", pruned, err)
	}
	if s.prefix != "shop/" || !s.before.Equal(now.Add(-snapshot.Unfinished)) {
		t.Errorf("swept %q of before %v", s.prefix, s.before)
	}
}
