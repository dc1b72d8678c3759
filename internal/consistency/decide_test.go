package consistency_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
)

func TestDecide(t *testing.T) {
	const (
		lease = 10 * time.Second
		fence = events.PolicyFence
		serve = events.PolicyServe
		now   = events.Epoch(1)
		old   = events.Epoch(2)
	)
	seen := func(e events.Epoch, p events.Position) consistency.Level {
		return consistency.Session(consistency.Token{}.With(0, consistency.Point{Epoch: e, Position: p}))
	}
	fresh, lapsed := 9*time.Second, lease
	for name, c := range map[string]struct {
		level consistency.Level
		facts consistency.Facts
		want  consistency.Verdict
	}{
		"eventual, fresh":              {consistency.Eventual(), consistency.Facts{Age: fresh, Policy: fence}, consistency.Serve},
		"eventual, cut off":            {consistency.Eventual(), consistency.Facts{Age: lapsed, Policy: fence}, consistency.Pulse},
		"eventual, cut off, serve":     {consistency.Eventual(), consistency.Facts{Age: lapsed, Policy: serve}, consistency.ServeStale},
		"default, fresh":               {consistency.Level{}, consistency.Facts{Age: fresh, Policy: fence}, consistency.Serve},
		"default, at the lease":        {consistency.Level{}, consistency.Facts{Age: lapsed, Policy: fence}, consistency.Pulse},
		"default, cut off, serve":      {consistency.Level{}, consistency.Facts{Age: lapsed, Policy: serve}, consistency.ServeStale},
		"bounded, within":              {consistency.Bounded(time.Second), consistency.Facts{Age: time.Second - 1, Policy: fence}, consistency.Serve},
		"bounded, beyond":              {consistency.Bounded(time.Second), consistency.Facts{Age: time.Second + 1, Policy: fence}, consistency.Pulse},
		"bounded, beyond, serve":       {consistency.Bounded(time.Second), consistency.Facts{Age: time.Second + 1, Policy: serve}, consistency.Pulse},
		"bounded, cut off, serve":      {consistency.Bounded(time.Second), consistency.Facts{Age: lapsed, Policy: serve}, consistency.ServeStale},
		"bounded beyond the lease":     {consistency.Bounded(time.Hour), consistency.Facts{Age: lapsed, Policy: fence}, consistency.Pulse},
		"session, empty token":         {consistency.Session(consistency.Token{}), consistency.Facts{Age: fresh, Policy: fence, Epoch: now}, consistency.Serve},
		"session, applied":             {seen(now, 5), consistency.Facts{Age: fresh, Policy: fence, Epoch: now, Applied: 5}, consistency.Serve},
		"session, behind":              {seen(now, 6), consistency.Facts{Age: fresh, Policy: fence, Epoch: now, Applied: 5}, consistency.WaitApplied},
		"session, behind, serve":       {seen(now, 6), consistency.Facts{Age: fresh, Policy: serve, Epoch: now, Applied: 5}, consistency.WaitApplied},
		"session, unknown epoch":       {seen(old, 1), consistency.Facts{Age: fresh, Policy: fence, Epoch: now, Applied: 5, Asked: 4, Pulsed: 3}, consistency.Pulse},
		"session, lost epoch":          {seen(old, 1), consistency.Facts{Age: fresh, Policy: fence, Epoch: now, Applied: 5, Asked: 4, Pulsed: 4}, consistency.Serve},
		"session, left epoch":          {seen(old, 900), consistency.Facts{Age: fresh, Policy: fence, Epoch: now, Applied: 5, Left: true}, consistency.Serve},
		"session, applied, cut off":    {seen(now, 5), consistency.Facts{Age: lapsed, Policy: fence, Epoch: now, Applied: 5}, consistency.Pulse},
		"session, applied, stale":      {seen(now, 5), consistency.Facts{Age: lapsed, Policy: serve, Epoch: now, Applied: 5}, consistency.ServeStale},
		"session of other partition":   {consistency.Session(consistency.Token{}.With(3, consistency.Point{Epoch: old, Position: 9})), consistency.Facts{Age: fresh, Epoch: now}, consistency.Serve},
		"strong, not asked":            {consistency.Strong(), consistency.Facts{Age: 0, Policy: fence, Pulsed: 9}, consistency.Pulse},
		"strong, asked":                {consistency.Strong(), consistency.Facts{Age: 0, Policy: fence, Pulsed: 9, Asked: 10}, consistency.Pulse},
		"strong, pulsed":               {consistency.Strong(), consistency.Facts{Age: fresh, Policy: fence, Pulsed: 10, Asked: 10}, consistency.Serve},
		"strong, pulsed, but lapsed":   {consistency.Strong(), consistency.Facts{Age: lapsed, Policy: fence, Pulsed: 10, Asked: 10}, consistency.Pulse},
		"strong is never served stale": {consistency.Strong(), consistency.Facts{Age: lapsed, Policy: serve, Pulsed: 10, Asked: 10}, consistency.Pulse},
	} {
		t.Run(name, func(t *testing.T) {
			c.facts.Lease = lease
			if got := consistency.Decide(c.level, 0, c.facts); got != c.want {
				t.Fatalf("%v, want %v", got, c.want)
			}
		})
	}
}

// What Serve promises, said once more from the reader's side: G3 for bounded
// reads, G2 for sessions, G4 for strong ones, and for all of them the lease
// (G5).
func TestServeKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "d"))
		})
		point := consistency.Point{Epoch: events.Epoch(rapid.Uint64Range(1, 3).Draw(t, "epoch")), Position: events.Position(rapid.Uint64Range(0, 5).Draw(t, "position"))}
		bound := duration.Draw(t, "bound")
		level := rapid.SampledFrom([]consistency.Level{
			consistency.Eventual(), {}, consistency.Bounded(bound), consistency.Strong(),
			consistency.Session(consistency.Token{}.With(0, point)),
		}).Draw(t, "level")
		f := consistency.Facts{
			Age: duration.Draw(t, "age"), Lease: max(1, duration.Draw(t, "lease")),
			Policy: rapid.SampledFrom([]events.Policy{events.PolicyFence, events.PolicyServe}).Draw(t, "policy"),
			Epoch:  events.Epoch(rapid.Uint64Range(0, 3).Draw(t, "own epoch")), Applied: events.Position(rapid.Uint64Range(0, 5).Draw(t, "applied")),
			Left:   rapid.Bool().Draw(t, "left"),
			Pulsed: rapid.Uint64Range(0, 3).Draw(t, "pulsed"), Asked: rapid.Uint64Range(0, 3).Draw(t, "asked"),
		}
		v := consistency.Decide(level, 0, f)
		if v == consistency.Serve && f.Age >= f.Lease {
			t.Fatal("served without a lease")
		}
		if v == consistency.ServeStale && f.Policy != events.PolicyServe {
			t.Fatal("served stale in a domain that does not want it")
		}
		serves := v == consistency.Serve || v == consistency.ServeStale
		switch level.Kind() {
		case consistency.KindBounded:
			if v == consistency.Serve && f.Age > level.Bound(f.Lease) {
				t.Fatalf("served at age %v, bound %v", f.Age, level.Bound(f.Lease))
			}
		case consistency.KindSession:
			lost := f.Epoch != point.Epoch && f.Asked > 0 && f.Pulsed >= f.Asked
			if serves && !f.Left && !lost && (f.Epoch != point.Epoch || f.Applied < point.Position) {
				t.Fatalf("served at %v of epoch %v, token %v", f.Applied, f.Epoch, point)
			}
		case consistency.KindStrong:
			if serves && (f.Asked == 0 || f.Pulsed < f.Asked || v == consistency.ServeStale) {
				t.Fatalf("%v with pulse %d of %d", v, f.Pulsed, f.Asked)
			}
		}
	})
}
