package node

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// The first policy that matches counts; what it leaves open it inherits.
func TestPoliciesByKey(t *testing.T) {
	ps := newPolicies(Config{
		DefaultTTL: time.Hour, Settings: events.DefaultSettings(),
		Policy: Policy{Jitter: 0.1, MaxStale: time.Minute, Fallback: IfOriginFails},
		Policies: []KeyPolicy{
			{Match: "price:", Policy: Policy{TTL: time.Second, MaxStale: -1, Fallback: NeverFallBack}},
			{Match: "pr*", Policy: Policy{TTL: 2 * time.Second, Jitter: -1}},
			{Match: "x?z", Policy: Policy{EagerAfter: 0.5}},
		},
	})
	for key, want := range map[string]Policy{
		"price:1": {TTL: time.Second, Jitter: 0.1, MaxStale: -1, Fallback: NeverFallBack},
		"price":   {TTL: 2 * time.Second, Jitter: -1, MaxStale: time.Minute, Fallback: IfOriginFails},
		"xyz":     {TTL: time.Hour, Jitter: 0.1, MaxStale: time.Minute, Fallback: IfOriginFails, EagerAfter: 0.5},
		"other":   {TTL: time.Hour, Jitter: 0.1, MaxStale: time.Minute, Fallback: IfOriginFails},
	} {
		if got := *ps.of(key); got != want {
			t.Errorf("%s: %+v, want %+v", key, got, want)
		}
	}
	o := ps.resolve("price:1", ReadOptions{Policy: &Policy{TTL: time.Minute, Fallback: WhileReloading}})
	if want := (Policy{TTL: time.Minute, Jitter: 0.1, MaxStale: -1, Fallback: WhileReloading}); *o.policy != want || o.Fallback != WhileReloading {
		t.Errorf("a call's: %+v, fallback %d", *o.policy, o.Fallback)
	}
	if o := ps.resolve("other", ReadOptions{nested: true, Fallback: WhileReloading}); o.Fallback != NoFallback {
		t.Error("a fallback within a loader")
	}
	for _, bad := range []KeyPolicy{
		{Match: "a*", Policy: Policy{Jitter: 0.95}}, {Match: "a*", Policy: Policy{EagerAfter: 1}},
		{Match: "a*", Policy: Policy{Fallback: 9}}, {Match: ""},
	} {
		if err := bad.Validate(); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Whatever a policy says: a life never gets longer than what was named or what
// the domain allows, and its ends come in their order.
func TestLivesStayWithinTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const longest = 10 * time.Hour
		span := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(-1, int64(20*time.Hour)).Draw(t, name))
		}
		p := Policy{
			TTL: max(span("ttl"), time.Millisecond), Jitter: rapid.Float64Range(0, 0.9).Draw(t, "jitter"), Sliding: span("sliding"),
			EagerAfter: rapid.Float64Range(-1, 0.99).Draw(t, "eager"), MaxStale: span("stale"),
		}
		made := time.UnixMilli(1_700_000_000_000)
		named := span("named")
		h := tiers.Header{Created: made}
		p.life(&h, named, longest, rapid.Float64Range(0, 0.999).Draw(t, "chance"))
		most := min(p.TTL, longest)
		if named > 0 {
			most = min(named, longest)
		}
		if life := h.Expiry.Sub(made); life > most || p.Sliding <= 0 && float64(life) < float64(most)*(1-p.Jitter)-1 {
			t.Fatalf("lives for %v of %v", life, most)
		}
		check := func(what string, at, from, to time.Time) {
			if !at.IsZero() && (at.Before(from) || at.After(to)) {
				t.Fatalf("%s at %v, want within %v to %v", what, at.Sub(made), from.Sub(made), to.Sub(made))
			}
		}
		check("due", h.SoftExpiry, made, h.Expiry)
		check("end as a fallback", h.StaleUntil, h.Expiry, made.Add(longest))
		for now := made; p.Sliding > 0 && !h.SoftExpiry.IsZero() && now.Before(made.Add(longest)); {
			now = now.Add(max(p.Sliding/3, time.Minute))
			p.slide(&h, now, longest)
			p.stay(&h, longest)
			check("prolonged expiry", h.Expiry, made, made.Add(min(p.TTL, longest)))
			check("end as a fallback", h.StaleUntil, h.Expiry, made.Add(longest))
		}
	})
}
