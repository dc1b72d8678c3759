package pacing_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/warmer/pacing"
)

var start = time.Unix(1_700_000_000, 0)

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		burst int
	}{{0, 1}, {-1, 1}, {1, 0}} {
		if _, err := pacing.NewBucket(c.rate, c.burst); !errors.Is(err, pacing.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := pacing.NewBudget(0); !errors.Is(err, pacing.ErrConfig) {
		t.Errorf("budget of 0: %v", err)
	}
}

// TestBucketHoldsItsBound: whoever waits as told gets a token, and in any span
// d no more than burst + rate × d pass.
func TestBucketHoldsItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.1, 5000).Draw(t, "rate")
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		b, err := pacing.NewBucket(rate, burst)
		if err != nil {
			t.Fatal(err)
		}
		now := start
		var passed []time.Time
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "µs")) * time.Microsecond)
			wait, ok := b.Take(now)
			if !ok {
				now = now.Add(wait)
				if wait, ok = b.Take(now); !ok {
					t.Fatalf("waited as told and was told to wait %v", wait)
				}
			}
			passed = append(passed, now)
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				most := float64(burst) + rate*passed[j].Sub(passed[i]).Seconds()
				if n := j - i + 1; float64(n) > most+1e-3 {
					t.Fatalf("%d passed in %v, at most %v may", n, passed[j].Sub(passed[i]), most)
				}
			}
		}
	})
}

func TestBucketTimeThatStepsBackFillsNothing(t *testing.T) {
	b, err := pacing.NewBucket(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Take(start); !ok {
		t.Fatal("a full bucket gives nothing")
	}
	if wait, ok := b.Take(start.Add(-time.Hour)); ok || wait != time.Second {
		t.Errorf("wait %v, %v", wait, ok)
	}
	if _, ok := b.Take(start.Add(time.Second)); !ok {
		t.Error("no token after its time")
	}
}

func TestBudget(t *testing.T) {
	b, err := pacing.NewBudget(8)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if !b.Start() {
			t.Fatal("less than 8 may run")
		}
	}
	if b.Start() {
		t.Fatal("more than 8 run")
	}
	for _, step := range []struct {
		o     pacing.Outcome
		limit int
	}{{pacing.Neutral, 8}, {pacing.Failed, 4}, {pacing.Failed, 2}, {pacing.Failed, 1}, {pacing.Failed, 1}} {
		if b.End(step.o); b.Limit() != step.limit {
			t.Fatalf("limit %d after %d, want %d", b.Limit(), step.o, step.limit)
		}
	}
	if b.Free() != 0 || b.Running() != 3 {
		t.Errorf("%d free, %d running: those that run count although the bound fell", b.Free(), b.Running())
	}
	for n := 1; b.Limit() < 8; n++ { // about 1+2+…+7
		if n > 40 {
			t.Fatalf("limit is %d after %d successes", b.Limit(), n)
		}
		b.End(pacing.Succeeded)
	}
	for range 100 {
		b.End(pacing.Succeeded)
	}
	if b.Limit() != 8 || b.Running() != 0 || b.Free() != 8 {
		t.Errorf("limit %d, running %d, free %d", b.Limit(), b.Running(), b.Free())
	}
}
