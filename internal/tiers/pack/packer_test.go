package pack_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/tiers/seal"
)

func packer(t testing.TB, cfg pack.Config) *pack.Packer {
	t.Helper()
	p, err := pack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func keys(t testing.TB, id int) *seal.Ring {
	t.Helper()
	r, err := seal.Parse(fmt.Sprintf("%d:%s", id, hex.EncodeToString([]byte(strings.Repeat("k", 32)))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func entry(t testing.TB, key string, birth events.Position, payload []byte) tiers.Entry {
	t.Helper()
	at := time.UnixMilli(1_700_000_000_000)
	h := tiers.Header{Key: key, Epoch: 3, Birth: birth, Created: at, Expiry: at.Add(time.Hour), Tags: []string{"a", "b"},
		Version: events.Version{N: 9, Known: true}, Flags: tiers.FlagHighPriority, Codec: 2}
	e, err := tiers.Append(nil, &h, payload)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func jsonOf(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"products":[`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"product %d","price":%d.99,"stock":true},`, i, i, i%90)
	}
	return append(bytes.TrimSuffix(b.Bytes(), []byte(",")), "]}"...)
}

// payloads by what should become of them.
var payloads = map[string]struct {
	bytes   []byte
	smaller bool
}{
	"empty":       {nil, false},
	"small JSON":  {jsonOf(300), false},
	"JSON":        {jsonOf(3000), true},
	"large JSON":  {jsonOf(200_000), true},
	"text":        {[]byte(strings.Repeat("The quick brown fox, жлтый, jumps over it.\n", 60)), true},
	"noise":       {noise(5000), false},
	"large noise": {noise(200_000), false},
	"gzip":        {append([]byte{0x1f, 0x8b}, bytes.Repeat([]byte("a"), 5000)...), false},
	"hard JSON":   {[]byte(`{"k":"` + hex.EncodeToString(noise(3000))[:1500] + `"}`), false},
}

func TestOpenUndoesPack(t *testing.T) {
	for name, x := range payloads {
		for mode, p := range map[string]*pack.Packer{
			"plain": packer(t, pack.Config{Plain: true}), "compressed": packer(t, pack.Config{}),
			"sealed":             packer(t, pack.Config{Domain: "d", Keys: keys(t, 1)}),
			"sealed, not packed": packer(t, pack.Config{Domain: "d", Keys: keys(t, 1), Plain: true}),
			"with a dictionary":  packer(t, pack.Config{Dictionaries: [][]byte{jsonOf(500)}}),
		} {
			e := entry(t, "k", 5, x.bytes)
			was := bytes.Clone(e)
			out := p.Pack(e)
			if !bytes.Equal(e, was) {
				t.Fatalf("%s, %s: packing changed the entry", name, mode)
			}
			parsed, err := tiers.Parse(bytes.Clone(out))
			if err != nil {
				t.Fatalf("%s, %s: %v", name, mode, err)
			}
			if parsed.Key() != "k" || parsed.Birth() != 5 || parsed.Epoch() != 3 {
				t.Fatalf("%s, %s: the header can't be read", name, mode)
			}
			back, err := p.Open(parsed)
			if err != nil || !bytes.Equal(back, was) {
				t.Fatalf("%s, %s: %v, or another entry came back", name, mode, err)
			}
			if smaller := len(out) < len(e)*9/10; mode == "compressed" && smaller != x.smaller {
				t.Errorf("%s: %d bytes of %d", name, len(out), len(e))
			}
		}
	}
}

func TestDictionaryHelpsSmallJSON(t *testing.T) {
	old := jsonOf(2000)
	p := packer(t, pack.Config{Dictionaries: [][]byte{old}})
	e := entry(t, "k", 1, []byte(`{"products":[{"id":77,"name":"product 77","price":77.99,"stock":true},{"id":78,"name":"product 78","price":78.99,"stock":true}]}`))
	out := p.Pack(e)
	if s := p.Stats(); s.Packed != 1 || s.SavedBytes == 0 || len(out) >= len(e) {
		t.Fatalf("%d bytes of %d; %+v", len(out), len(e), s)
	}
	next := packer(t, pack.Config{Dictionaries: [][]byte{jsonOf(900), old}})
	if back, err := next.Open(out); err != nil || !bytes.Equal(back, e) {
		t.Errorf("with a newer dictionary in front: %v", err)
	}
	if _, err := packer(t, pack.Config{}).Open(out); !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("without the dictionary: %v, want ErrDamaged", err)
	}
}

// G6: a sealed value opens under its own key, birth and domain only, and what is
// not sealed does not count where there are keys.
func TestSealedValueStaysInItsPlace(t *testing.T) {
	p := packer(t, pack.Config{Domain: "shop", Keys: keys(t, 1)})
	payload := payloads["JSON"].bytes
	out := p.Pack(entry(t, "k", 5, payload))
	graft := func(onto tiers.Entry) tiers.Entry {
		shell := onto.Shell(tiers.FlagPacked, len(out.Payload()))
		return append(shell, out.Payload()...).Close()
	}
	if _, err := p.Open(graft(entry(t, "k", 5, nil))); err != nil {
		t.Fatalf("in its own place: %v", err)
	}
	for name, x := range map[string]struct {
		by *pack.Packer
		e  tiers.Entry
	}{
		"another key":    {p, graft(entry(t, "l", 5, nil))},
		"another birth":  {p, graft(entry(t, "k", 6, nil))},
		"another domain": {packer(t, pack.Config{Domain: "shopping", Keys: keys(t, 1)}), out},
		"another id":     {packer(t, pack.Config{Domain: "shop", Keys: keys(t, 2)}), out},
		"no keys":        {packer(t, pack.Config{Domain: "shop"}), out},
	} {
		if _, err := x.by.Open(x.e); !errors.Is(err, seal.ErrNotOpened) || x.by.Stats().NotOpened == 0 {
			t.Errorf("%s: %v, %+v", name, err, x.by.Stats())
		}
	}
	for name, e := range map[string]tiers.Entry{
		"plain":      entry(t, "k", 5, payload),
		"compressed": packer(t, pack.Config{}).Pack(entry(t, "k", 5, payload)),
	} {
		if got, err := p.Open(e); !errors.Is(err, pack.ErrNotSealed) || got != nil {
			t.Errorf("%s: %v, want ErrNotSealed", name, err)
		}
		if p.OpenBytes(e) != nil {
			t.Errorf("%s: bytes were opened", name)
		}
	}
}

// A few bytes that claim to be many take no memory.
func TestBombs(t *testing.T) {
	big := packer(t, pack.Config{}).Pack(entry(t, "k", 1, bytes.Repeat([]byte(`{"a":"aaaaaaaaaaaa"}`+"\n"), 100_000)))
	p := packer(t, pack.Config{MaxPayload: 1 << 20})
	if _, err := p.Open(big); !errors.Is(err, pack.ErrTooLarge) || p.Stats().TooLarge != 1 {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	text := packer(t, pack.Config{}).Pack(entry(t, "k", 1, bytes.Repeat([]byte("text "), 100_000)))
	for name, packed := range map[string]tiers.Entry{"lz4": big, "zstd": text} {
		// Says that it is small.
		body := packed.Payload()
		_, n := binary.Uvarint(body[1:])
		lie := append([]byte{body[0], 100}, body[1+n:]...)
		e := append(packed.Shell(tiers.FlagPacked, len(lie)), lie...).Close()
		if _, err := packer(t, pack.Config{}).Open(e); !errors.Is(err, pack.ErrDamaged) {
			t.Errorf("%s that lies of its size: %v, want ErrDamaged", name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := packer(f, pack.Config{MaxPayload: 1 << 20})
	for _, x := range payloads {
		f.Add([]byte(p.Pack(entry(f, "k", 1, x.bytes)).Payload()))
	}
	f.Add([]byte{})
	f.Add([]byte{2, 0xff, 0xff, 0x3f, 0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, body []byte) {
		e := append(entry(t, "k", 1, nil).Shell(tiers.FlagPacked, len(body)), body...).Close()
		out, err := p.Open(e)
		if err == nil && (out.Packed() || len(out.Payload()) > 1<<20) {
			t.Fatalf("%d bytes came out", len(out.Payload()))
		}
		if err != nil && !errors.Is(err, pack.ErrDamaged) && !errors.Is(err, pack.ErrTooLarge) && !errors.Is(err, seal.ErrNotOpened) {
			t.Fatal(err)
		}
	})
}
