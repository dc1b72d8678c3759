package tiertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Epoch is the epoch of the suite's entries, and the present one of a subject
// that must know it.
const Epoch events.Epoch = 0x1122334455667788

// Clock is the wall clock that a subject reads. It stands still until it is
// moved. Its methods are safe for concurrent use.
type Clock struct{ ms atomic.Int64 }

// Milli returns the time in Unix milliseconds.
func (c *Clock) Milli() int64 { return c.ms.Load() }

// Now returns the time.
func (c *Clock) Now() time.Time { return time.UnixMilli(c.ms.Load()) }

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// Subject is a tier under test: empty, and of this test alone.
type Subject struct {
	Tier tiers.Tier
	// TooLarge is the size of a payload that the tier refuses.
	TooLarge int
	// Plant puts raw bytes where the tier keeps the value of key, past the
	// tier. Nil for a tier whose memory nobody else reaches.
	Plant func(t *testing.T, key string, raw []byte)
}

// Run runs the suite against tiers that open makes.
func Run(t *testing.T, open func(t *testing.T, clock *Clock) Subject) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Subject, *Clock)
	}{
		{"every field of an entry comes back", roundTrip},
		{"an unknown key is a miss", unknownKey},
		{"keys are told apart", keys},
		{"expiry is exact to the millisecond", expiry},
		{"an entry that has expired replaces an older one by nothing", bornExpired},
		{"a fallback is kept past its expiry", keptPastExpiry},
		{"the newer birth wins in any order", newerBirth},
		{"births beyond 2^53 are told apart", largeBirths},
		{"births of another epoch do not count", otherEpoch},
		{"a refused entry leaves no older copy", tooLarge},
		{"remove", remove},
		{"clear", clearAll},
		{"the result belongs to the caller", aliasing},
		{"what is no entry is a miss, and gives way", planted},
		{"many at once", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := &Clock{}
			clock.ms.Store(time.Now().UnixMilli())
			c.run(t, open(t, clock), clock)
		})
	}
}

// Entry makes an entry of the suite's epoch.
func Entry(t testing.TB, key string, birth events.Position, payload string) tiers.Entry {
	t.Helper()
	return Make(t, tiers.Header{Key: key, Epoch: Epoch, Birth: birth}, []byte(payload))
}

// Make encodes an entry.
func Make(t testing.TB, h tiers.Header, payload []byte) tiers.Entry {
	t.Helper()
	e, err := tiers.Append(nil, &h, payload)
	if err != nil {
		t.Fatalf("make entry %+v: %v", h, err)
	}
	return e
}

func clip(s string) string { return s[:min(len(s), 60)] }

func put(t *testing.T, s Subject, e tiers.Entry) {
	t.Helper()
	if err := s.Tier.Put(t.Context(), e); err != nil {
		t.Fatalf("put %q born %d: %v", clip(e.Key()), e.Birth(), err)
	}
}

func wantHit(t *testing.T, s Subject, key, payload string) tiers.Entry {
	t.Helper()
	e, err := s.Tier.Get(t.Context(), key, nil)
	if err != nil {
		t.Fatalf("get %q: %v, want %q", clip(key), err, clip(payload))
	}
	if got := string(e.Payload()); e.Key() != key || got != payload {
		t.Fatalf("get %q: %q of key %q, want %q", clip(key), clip(got), clip(e.Key()), clip(payload))
	}
	return e
}

func wantMiss(t *testing.T, s Subject, key string) {
	t.Helper()
	if e, err := s.Tier.Get(t.Context(), key, nil); !errors.Is(err, tiers.ErrMiss) {
		t.Fatalf("get %q: %q, %v, want a miss", clip(key), e, err)
	}
}

func wantPut(t *testing.T, s Subject, e tiers.Entry, want error) {
	t.Helper()
	if err := s.Tier.Put(t.Context(), e); !errors.Is(err, want) {
		t.Fatalf("put %q born %d: %v, want %v", clip(e.Key()), e.Birth(), err, want)
	}
}

func roundTrip(t *testing.T, s Subject, clock *Clock) {
	now := clock.Now()
	tags := make([]string, 0, 40)
	for i := range 40 {
		tags = append(tags, fmt.Sprintf("tag:%d", i))
	}
	for name, h := range map[string]tiers.Header{
		"bare":     {},
		"born at":  {Birth: 1<<63 + 7},
		"created":  {Created: now.Add(-time.Hour)},
		"expiry":   {Expiry: now.Add(time.Hour)},
		"soft":     {SoftExpiry: now.Add(time.Minute), Expiry: now.Add(time.Hour)},
		"kept":     {Expiry: now.Add(time.Minute), StaleUntil: now.Add(time.Hour), Validator: "etag"},
		"version":  {Version: events.Version{N: 1<<64 - 1, Known: true}},
		"version0": {Version: events.Version{Known: true}},
		"tags":     {Tags: tags},
		"flags":    {Flags: tiers.FlagNegative | tiers.FlagHighPriority},
		"low":      {Flags: tiers.FlagLowPriority, Codec: 255},
		"all": {
			Birth: 12, Created: now, Expiry: now.Add(time.Hour), SoftExpiry: now.Add(time.Minute),
			Version: events.Version{N: 9, Known: true}, Tags: []string{"a", "b"}, Flags: tiers.FlagNegative, Codec: 3,
		},
	} {
		for _, payload := range []string{"", "x", strings.Repeat("\x00\xff", 500)} {
			h.Key, h.Epoch = fmt.Sprintf("%s:%d", name, len(payload)), Epoch
			e := Make(t, h, []byte(payload))
			put(t, s, e)
			got := wantHit(t, s, h.Key, payload)
			if !bytes.Equal(got, e) {
				t.Errorf("%s: got\n%x\nwant\n%x", h.Key, got, e)
			}
			if want, g := fmt.Sprint(e.Header()), fmt.Sprint(got.Header()); want != g {
				t.Errorf("%s: header %s, want %s", h.Key, g, want)
			}
		}
	}
}

func unknownKey(t *testing.T, s Subject, _ *Clock) {
	wantMiss(t, s, "never put")
	put(t, s, Entry(t, "put", 1, "v"))
	wantMiss(t, s, "never put")
}

func keys(t *testing.T, s Subject, _ *Clock) {
	all := []string{
		"a", "a:", "a:b", "a:b:", "A", " ", "a b", "{a}b", "{a}c", "*", "?", "[a-z]", "ключ", "鍵",
		"0", "00", "-1", "%s", "../a", strings.Repeat("k", events.MaxKey), strings.Repeat("k", events.MaxKey-1),
	}
	for _, k := range all {
		put(t, s, Entry(t, k, 1, "value of "+k))
	}
	for _, k := range all {
		wantHit(t, s, k, "value of "+k)
	}
	if err := s.Tier.Remove(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	for _, k := range all[1:] {
		wantHit(t, s, k, "value of "+k)
	}
}

func expiry(t *testing.T, s Subject, clock *Clock) {
	for _, life := range []time.Duration{time.Millisecond, 1499 * time.Millisecond, time.Minute, 40 * time.Minute} {
		key := life.String()
		put(t, s, Make(t, tiers.Header{Key: key, Epoch: Epoch, Expiry: clock.Now().Add(life)}, []byte("v")))
		if life >= time.Minute { // a shorter one may end by the server's own clock
			clock.Advance(life - time.Millisecond)
			wantHit(t, s, key, "v")
			clock.Advance(time.Millisecond)
		} else {
			clock.Advance(life)
		}
		wantMiss(t, s, key)
	}
}

// A fallback is kept past its expiry: who reads it judges.
func keptPastExpiry(t *testing.T, s Subject, clock *Clock) {
	now := clock.Now()
	put(t, s, Make(t, tiers.Header{Key: "k", Epoch: Epoch, Expiry: now.Add(time.Minute), StaleUntil: now.Add(40 * time.Minute)}, []byte("v")))
	clock.Advance(40*time.Minute - time.Millisecond)
	wantHit(t, s, "k", "v")
	clock.Advance(time.Millisecond)
	wantMiss(t, s, "k")
}

func bornExpired(t *testing.T, s Subject, clock *Clock) {
	for name, end := range map[string]time.Time{
		"now": clock.Now(), "past": clock.Now().Add(-time.Hour), "1970": time.UnixMilli(0), "1950": time.UnixMilli(-1 << 39),
	} {
		put(t, s, Entry(t, name, 1, "older"))
		put(t, s, Make(t, tiers.Header{Key: name, Epoch: Epoch, Birth: 2, Expiry: end}, []byte("v")))
		wantMiss(t, s, name)
	}
}

func newerBirth(t *testing.T, s Subject, _ *Clock) {
	for i, order := range [][]events.Position{
		{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}, {9, 10, 8}, {255, 256, 254}, {0, 1, 0},
	} {
		key := fmt.Sprint("k", i)
		latest := order[0]
		for j, birth := range order {
			e := Entry(t, key, birth, fmt.Sprint("v", birth))
			if j > 0 && birth < latest {
				wantPut(t, s, e, tiers.ErrOutdated)
			} else {
				put(t, s, e)
				latest = birth
			}
			wantHit(t, s, key, fmt.Sprint("v", latest))
		}
	}
	put(t, s, Entry(t, "same", 4, "first"))
	put(t, s, Entry(t, "same", 4, "second"))
	wantHit(t, s, "same", "second")
}

func largeBirths(t *testing.T, s Subject, _ *Clock) {
	const edge = 1 << 53 // a double can't tell edge from edge+1
	put(t, s, Entry(t, "k", edge+1, "newer"))
	wantPut(t, s, Entry(t, "k", edge, "older"), tiers.ErrOutdated)
	wantHit(t, s, "k", "newer")
	put(t, s, Entry(t, "k", edge+2, "newest"))
	wantHit(t, s, "k", "newest")
	put(t, s, Entry(t, "max", 1<<64-2, "newer"))
	put(t, s, Entry(t, "max", 1<<64-1, "newest"))
	wantPut(t, s, Entry(t, "max", 1<<63, "older"), tiers.ErrOutdated)
	wantHit(t, s, "max", "newest")
}

func otherEpoch(t *testing.T, s Subject, _ *Clock) {
	late := Make(t, tiers.Header{Key: "k", Epoch: Epoch + 1, Birth: 1000}, []byte("late"))
	// A tier that knows the epoch refuses it; another one can't.
	if err := s.Tier.Put(t.Context(), late); err != nil && !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("put of another epoch: %v", err)
	}
	put(t, s, Entry(t, "k", 1, "present"))
	wantHit(t, s, "k", "present")
}

func tooLarge(t *testing.T, s Subject, _ *Clock) {
	huge := strings.Repeat("x", s.TooLarge)
	wantPut(t, s, Entry(t, "new", 1, huge), tiers.ErrTooLarge)
	wantMiss(t, s, "new")
	put(t, s, Entry(t, "old", 1, "older"))
	wantPut(t, s, Entry(t, "old", 2, huge), tiers.ErrTooLarge)
	wantMiss(t, s, "old")
	put(t, s, Entry(t, "newer", 5, "newer"))
	if err := s.Tier.Put(t.Context(), Entry(t, "newer", 4, huge)); err == nil {
		t.Fatal("put of a too large entry: no error")
	}
	wantHit(t, s, "newer", "newer")
}

func remove(t *testing.T, s Subject, _ *Clock) {
	for _, k := range []string{"a", "b", "c"} {
		put(t, s, Entry(t, k, 3, "v"))
	}
	if err := s.Tier.Remove(t.Context(), "a", "c", "never put"); err != nil {
		t.Fatal(err)
	}
	wantMiss(t, s, "a")
	wantHit(t, s, "b", "v")
	wantMiss(t, s, "c")
	if err := s.Tier.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s, Entry(t, "a", 3, "again"))
	wantHit(t, s, "a", "again")
}

func clearAll(t *testing.T, s Subject, _ *Clock) {
	const n = 3000
	for i := range n {
		put(t, s, Entry(t, fmt.Sprint("k", i), 3, "v"))
	}
	if err := s.Tier.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		wantMiss(t, s, fmt.Sprint("k", i))
	}
	if err := s.Tier.Clear(t.Context()); err != nil {
		t.Fatalf("clear of an empty tier: %v", err)
	}
	put(t, s, Entry(t, "k0", 3, "again"))
	wantHit(t, s, "k0", "again")
}

func aliasing(t *testing.T, s Subject, _ *Clock) {
	e := Entry(t, "k", 1, "value")
	put(t, s, e)
	for i := range e { // the tier did not keep it
		e[i] = 0xee
	}
	got := wantHit(t, s, "k", "value")
	for i := range got {
		got[i] = 0xdd
	}
	wantHit(t, s, "k", "value")

	roomy := make([]byte, 5, 4096)
	got, err := s.Tier.Get(t.Context(), "k", roomy)
	if err != nil || &got[0] != &roomy[0] {
		t.Fatalf("get into a roomy buffer: %v, or not into it", err)
	}
	for _, short := range [][]byte{nil, {}, make([]byte, 3), make([]byte, len(got)-1)} {
		if got, err = s.Tier.Get(t.Context(), "k", short); err != nil || string(got.Payload()) != "value" {
			t.Fatalf("get into a buffer of %d: %q, %v", cap(short), got, err)
		}
	}
	if exact, err := s.Tier.Get(t.Context(), "k", make([]byte, 0, len(got))); err != nil || !bytes.Equal(exact, got) {
		t.Fatalf("get into a buffer that just fits: %q, %v", exact, err)
	}
}

// planted: rows that somebody else wrote, or that rotted.
func planted(t *testing.T, s Subject, _ *Clock) {
	if s.Plant == nil {
		return // nobody else reaches this tier's memory
	}
	good := Entry(t, "k", 1<<60, "value")
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0x40
		return b
	}
	cases := map[string][]byte{
		"nothing":       {},
		"text":          []byte("hello"),
		"a short head":  good[:20],
		"a whole head":  good[:44],
		"cut":           good[:len(good)-1],
		"longer":        append(bytes.Clone(good), 0),
		"other key":     Entry(t, "another", 1<<60, "value"),
		"other format":  flip(1),
		"zeroes":        make([]byte, 200),
		"a later birth": flip(23),
	}
	for at := range good {
		cases[fmt.Sprintf("bit flipped in byte %d", at)] = flip(at)
	}
	for name, raw := range cases {
		s.Plant(t, "k", raw)
		wantMiss(t, s, "k")
		s.Plant(t, "k", raw)
		// What can't be read must not bar the key, whatever birth it shows.
		// Only a head that is whole by itself may be believed, until somebody
		// reads the rest.
		if err := s.Tier.Put(t.Context(), Entry(t, "k", 7, "mended")); errors.Is(err, tiers.ErrOutdated) {
			wantMiss(t, s, "k")
			put(t, s, Entry(t, "k", 7, "mended"))
		} else if err != nil {
			t.Fatalf("put over %s: %v", name, err)
		}
		wantHit(t, s, "k", "mended")
		if err := s.Tier.Remove(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
}

func concurrent(t *testing.T, s Subject, _ *Clock) {
	const workers, rounds, keyCount = 16, 150, 7
	ctx := context.Background()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var buf []byte
			for i := range rounds {
				key := fmt.Sprint("k", (w*31+i)%keyCount)
				birth := events.Position(w*rounds + i)
				switch i % 5 {
				case 0, 1:
					err := s.Tier.Put(ctx, Entry(t, key, birth, fmt.Sprint(key, "@", birth)))
					if err != nil && !errors.Is(err, tiers.ErrOutdated) {
						t.Errorf("put: %v", err)
					}
				case 2, 3:
					e, err := s.Tier.Get(ctx, key, buf)
					if errors.Is(err, tiers.ErrMiss) {
						continue
					}
					if err != nil {
						t.Errorf("get: %v", err)
						continue
					}
					if want := fmt.Sprint(key, "@", e.Birth()); e.Key() != key || string(e.Payload()) != want {
						t.Errorf("get %s: %q of %q, want %q", key, e.Payload(), e.Key(), want)
					}
					buf = e
				case 4:
					if w == 0 {
						if err := s.Tier.Remove(ctx, key); err != nil {
							t.Errorf("remove: %v", err)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range keyCount { // the latest of all wins
		key := fmt.Sprint("k", i)
		put(t, s, Entry(t, key, 1<<40, "last"))
		wantHit(t, s, key, "last")
	}
}
