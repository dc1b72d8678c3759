package consistency_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
)

var anyPoint = rapid.Custom(func(t *rapid.T) consistency.Point {
	return consistency.Point{Epoch: events.Epoch(rapid.Uint64().Draw(t, "epoch")), Position: events.Position(rapid.Uint64().Draw(t, "position"))}
})

var anyToken = rapid.Custom(func(t *rapid.T) consistency.Token {
	var token consistency.Token
	for i := range rapid.IntRange(0, 64).Draw(t, "partitions") {
		if rapid.Bool().Draw(t, "touched") {
			token = token.With(i, anyPoint.Draw(t, "point"))
		}
	}
	return token
})

const partitions = 64

func same(a, b consistency.Token) bool {
	for i := range partitions {
		if a.At(i) != b.At(i) {
			return false
		}
	}
	return true
}

func TestTokensSurviveTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := anyToken.Draw(t, "token")
		back, err := consistency.ParseToken(token.String())
		if err != nil || !same(back, token) || back.Empty() != token.Empty() {
			t.Fatalf("%q: %v, %v", token, back, err)
		}
		if strings.ContainsAny(token.String(), "+/= \"") {
			t.Fatalf("%q does not fit into a URL or header", token)
		}
	})
}

// Within an epoch a token only advances, and joining forgets nothing.
func TestTokensOnlyAdvance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyToken.Draw(t, "a"), anyToken.Draw(t, "b")
		before := a.String()
		joined := a.Join(b)
		if a.String() != before {
			t.Fatal("joining changed the token itself")
		}
		for i := range partitions {
			pa, pb, pj := a.At(i), b.At(i), joined.At(i)
			switch {
			case pb == (consistency.Point{}):
				if pj != pa {
					t.Fatalf("partition %d: %v was lost", i, pa)
				}
			case pa.Epoch == pb.Epoch:
				if pj.Position != max(pa.Position, pb.Position) {
					t.Fatalf("partition %d: %v and %v became %v", i, pa, pb, pj)
				}
			case pj != pb:
				t.Fatalf("partition %d: %v and then %v became %v", i, pa, pb, pj)
			}
		}
		if !same(joined.Join(b), joined) {
			t.Fatal("joining twice is not joining once")
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add("")
	f.Add("AQ")
	f.Add(consistency.Token{}.With(2, consistency.Point{Epoch: 7, Position: 9}).String())
	f.Add("Ad3_____")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := consistency.ParseToken(s)
		if err != nil {
			if !errors.Is(err, consistency.ErrToken) {
				t.Fatal(err)
			}
			return
		}
		back, err := consistency.ParseToken(token.String())
		if err != nil || !same(back, token) {
			t.Fatalf("%q became %q: %v", s, token, err)
		}
	})
}

func TestParseLevel(t *testing.T) {
	token := consistency.Token{}.With(0, consistency.Point{Epoch: 1, Position: 2})
	for text, want := range map[string]string{
		"eventual":                  "eventual",
		"STRONG":                    "strong",
		"  bounded ":                "bounded",
		"bounded 250":               "bounded 250",
		"Bounded 0.5":               "bounded 0.5",
		"bounded 86400000":          "bounded 86400000",
		"session " + token.String(): "session " + token.String(),
	} {
		l, err := consistency.ParseLevel(text)
		if err != nil || l.String() != want {
			t.Errorf("%q: %v, %v", text, l, err)
		}
		if split, err := consistency.ParseLevel(strings.Fields(text)...); err != nil || split.String() != want {
			t.Errorf("%q in words: %v, %v", text, split, err)
		}
	}
	for _, text := range []string{
		"", " ", "bounded 0", "bounded -1", "bounded NaN", "bounded Inf", "bounded 1e-9", "bounded 86400001", "bounded x", "bounded 1 2",
		"strong 1", "eventual 1", "session", "session ?", "session a b", "sometimes",
	} {
		if l, err := consistency.ParseLevel(text); err == nil {
			t.Errorf("%q was read as %v", text, l)
		}
	}
}

func TestLevelsSurviveTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.SampledFrom([]consistency.Level{
			consistency.Eventual(), consistency.Strong(), {},
			consistency.Bounded(time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "bound"))),
			consistency.Session(consistency.Token{}.With(rapid.IntRange(0, 63).Draw(t, "partition"), consistency.Point{Epoch: 3, Position: events.Position(rapid.Uint64().Draw(t, "position"))})),
		}).Draw(t, "level")
		back, err := consistency.ParseLevel(level.String())
		if err != nil || back.Kind() != level.Kind() || !same(back.Token(), level.Token()) || back.Bound(48*time.Hour) != level.Bound(48*time.Hour) {
			t.Fatalf("%q: %v, %v", level, back, err)
		}
	})
}

func FuzzParseLevel(f *testing.F) {
	for _, s := range []string{"", "bounded 1", "session AQ", "strong", "bounded 0x1p-3", "bounded 1e300"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := consistency.ParseLevel(s)
		if err != nil {
			return
		}
		back, err := consistency.ParseLevel(l.String())
		if err != nil || back.Kind() != l.Kind() || back.Bound(48*time.Hour) != l.Bound(48*time.Hour) {
			t.Fatalf("%q became %q: %v, %v", s, l, back, err)
		}
	})
}
