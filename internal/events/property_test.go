package events_test

import (
	"errors"
	"math/big"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
)

func names(from *rapid.Generator[string]) *rapid.Generator[[]string] {
	return rapid.Map(rapid.SliceOfN(from, 0, 4), func(s []string) []string {
		if len(s) == 0 {
			return nil // as it is decoded
		}
		return s
	})
}

var (
	anyName   = rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 40), func(b []byte) string { return string(b) })
	anyPrefix = rapid.Map(anyName, func(s string) string { return s + ":" })
	anyGlob   = rapid.Map(rapid.StringN(1, 20, 60), events.EscapeGlob)
	anyScope  = rapid.Custom(func(t *rapid.T) events.Scope {
		s := events.Scope{
			Keys: names(anyName).Draw(t, "keys"), Tags: names(anyName).Draw(t, "tags"),
			Prefixes: names(anyPrefix).Draw(t, "prefixes"), Globs: names(anyGlob).Draw(t, "globs"),
			All: rapid.Bool().Draw(t, "all"),
		}
		s.All = s.All || s.Empty()
		return s
	})
	anyChange = rapid.Custom(func(t *rapid.T) events.Change {
		var id [16]byte
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		id[0] |= 1 // not zero
		text := rapid.StringN(0, 30, 100)
		switch rapid.IntRange(1, 6).Draw(t, "kind") {
		case 1:
			p := &events.Put{Key: anyName.Draw(t, "key"), Version: events.Version{N: rapid.Uint64().Draw(t, "n"), Known: rapid.Bool().Draw(t, "known")},
				Confirm: rapid.Bool().Draw(t, "confirm")}
			if e := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "entry"); len(e) > 0 {
				p.Entry = e
			}
			return p
		case 2:
			return &events.Invalidate{
				Scope: anyScope.Draw(t, "scope"), Soft: rapid.Bool().Draw(t, "soft"), Source: text.Draw(t, "source"),
				Cause:   events.Cause{Event: text.Draw(t, "event"), Trace: text.Draw(t, "trace")},
				Confirm: rapid.Bool().Draw(t, "confirm"),
			}
		case 3:
			return &events.Intent{Scope: anyScope.Draw(t, "scope"), Bracket: id, Deadline: time.UnixMilli(rapid.Int64Range(-1<<40, 1<<45).Draw(t, "deadline")),
				Writer: events.NodeID(text.Draw(t, "writer")), Decider: text.Draw(t, "decider")}
		case 4:
			e := &events.End{Bracket: id}
			if rapid.Bool().Draw(t, "scoped") {
				e.Scope = anyScope.Draw(t, "scope")
			}
			return e
		case 5:
			return &events.Pulse{
				Node: events.NodeID(rapid.StringN(1, 20, 60).Draw(t, "node")), Incarnation: id, Number: rapid.Uint64().Draw(t, "number"),
				Epoch: events.Epoch(rapid.Uint64().Draw(t, "epoch")), Applied: events.Position(rapid.Uint64().Draw(t, "applied")),
				Digest: id, Before: id, Addresses: names(text).Draw(t, "addresses"), Weight: rapid.Uint32().Draw(t, "weight"), Leave: rapid.Bool().Draw(t, "leave"),
			}
		default:
			return &events.EpochChange{Epoch: events.Epoch(rapid.Uint64Min(1).Draw(t, "epoch")), Why: text.Draw(t, "why")}
		}
	})
)

// Whatever may be written is read back as it was.
func TestRecordsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := events.Record{Changes: rapid.SliceOfN(anyChange, 1, 6).Draw(t, "changes")}
		b, err := events.AppendRecord([]byte("before"), r)
		if err != nil {
			if !errors.Is(err, events.ErrInvalid) || string(b) != "before" {
				t.Fatalf("%q, %v", b, err)
			}
			return
		}
		back, err := events.DecodeRecord(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, r) {
			t.Fatalf("read\n%#v\nwritten was\n%#v", back, r)
		}
	})
}

// Joined drafts are the record that their changes make, or aren't joined.
func TestDraftsJoinIntoTheSameRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draft := func(name string) ([]events.Change, *events.Draft) {
			lawful := func(c []events.Change) bool {
				_, err := events.NewDraft(c...)
				return err == nil
			}
			c := rapid.SliceOfN(anyChange, 1, 4).Filter(lawful).Draw(t, name)
			d, err := events.NewDraft(c...)
			if err != nil {
				t.Fatal(err)
			}
			return c, d
		}
		a, d := draft("a")
		b, o := draft("b")
		most := rapid.SampledFrom([]int{100, 1000, events.MaxRecord}).Draw(t, "most")
		all := append(append([]events.Change{}, a...), b...)
		want, err := events.AppendRecord(nil, events.Record{Changes: all})
		fits := err == nil && d.Size()+o.Size() <= most
		if joined := d.Join(o, most); !joined {
			if fits {
				t.Fatal("not joined, though they fit")
			}
			return
		}
		if err != nil {
			t.Fatalf("joined into what can't be encoded: %v", err)
		}
		got := d.Append(nil)
		if string(got) != string(want) || len(got) > d.Size() || d.Len() != len(all) {
			t.Fatalf("%x (bound %d), want %x", got, d.Size(), want)
		}
	})
}

// C3: a waiter waits at least Lease × (1+r)/(1-r), and hardly longer.
func TestLeaseWaitFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := events.DefaultSettings()
		s.Lease = time.Duration(rapid.Int64Range(int64(200*time.Millisecond), int64(time.Hour)).Draw(t, "lease"))
		s.DriftPPM = rapid.IntRange(0, 500_000).Draw(t, "drift")
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		const million = 1_000_000
		exact := new(big.Rat).SetFrac64(million+int64(s.DriftPPM), million-int64(s.DriftPPM))
		exact.Mul(exact, new(big.Rat).SetInt64(int64(s.Lease)))
		wait := new(big.Rat).SetInt64(int64(s.LeaseWait()))
		if wait.Cmp(exact) < 0 {
			t.Fatalf("waits %v, less than the formula's %s ns", s.LeaseWait(), exact.FloatString(1))
		}
		if wait.Sub(wait, exact).Cmp(new(big.Rat).SetInt64(10_000)) > 0 {
			t.Fatalf("waits %v, more than 10 µs longer than the formula's %s ns", s.LeaseWait(), exact.FloatString(1))
		}
	})
}
