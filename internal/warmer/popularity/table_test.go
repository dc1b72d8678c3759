package popularity_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/warmer/popularity"
)

var start = time.Unix(1_700_000_000, 0)

func table(t interface{ Fatal(...any) }, capacity int, half time.Duration) *popularity.Table {
	tab, err := popularity.New(popularity.Config{Capacity: capacity, HalfLife: half})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []popularity.Config{{0, time.Second}, {-1, time.Second}, {10_000_001, time.Second}, {1, 0}} {
		if _, err := popularity.New(c); !errors.Is(err, popularity.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestSteadyRateIsFound(t *testing.T) {
	tab := table(t, 10, 10*time.Second)
	now := start
	for range 6000 { // 100 s at 60 per second
		tab.Observe(now, "k", 1)
		now = now.Add(time.Second / 60)
	}
	if e, ok := tab.Rate(now, "k"); !ok || math.Abs(e.AtLeast-60) > 0.6 || e.AtMost != e.AtLeast {
		t.Errorf("rate %+v, want 60", e)
	}
	// One half-life of silence.
	if e, _ := tab.Rate(now.Add(10*time.Second), "k"); math.Abs(e.AtLeast-30) > 0.3 {
		t.Errorf("after a half-life %+v, want 30", e)
	}
}

func TestNewlyHotOvertakesFormerlyHot(t *testing.T) {
	tab := table(t, 10, time.Minute)
	tab.Observe(start, "old", 1000)
	now := start.Add(5 * time.Minute)
	tab.Observe(now, "new", 100)
	if top := tab.Top(now, 1); top[0].Key != "new" {
		t.Errorf("top is %+v", top)
	}
}

func TestRanksOutliveYearsWithoutOverflow(t *testing.T) {
	tab := table(t, 4, time.Second)
	now := start
	for i := range 1000 {
		now = now.Add(time.Duration(i) * time.Second)
		tab.Observe(now, "a", 3)
		tab.Observe(now, "b", 1)
	}
	now = now.Add(365 * 24 * time.Hour)
	tab.Observe(now, "c", 1)
	top := tab.Top(now, 3)
	if top[0].Key != "c" || math.IsNaN(top[1].AtMost) || math.IsInf(tab.Total(now), 0) || math.IsNaN(tab.Total(now)) {
		t.Errorf("top %+v, total %v", top, tab.Total(now))
	}
}

func TestBoundsSurviveARebase(t *testing.T) {
	tab := table(t, 1, time.Second)
	tab.Observe(start, "a", 1)
	tab.Observe(start, "b", 1)          // takes a's place: between 1 and 2
	now := start.Add(300 * time.Second) // weights are scaled down on the way
	tab.Observe(now, "b", 8)
	e, _ := tab.Rate(now, "b")
	if want := 8 * math.Ln2; math.Abs(e.AtLeast-want) > 1e-9 || math.Abs(e.AtMost-want) > 1e-9 {
		t.Errorf("%+v, want %v", e, want)
	}
}

func TestTimeThatStepsBackCountsAsLatest(t *testing.T) {
	tab := table(t, 4, time.Second)
	tab.Observe(start, "a", 1)
	tab.Observe(start.Add(-time.Hour), "b", 1)
	if top := tab.Top(start, 2); top[0].AtLeast != top[1].AtLeast {
		t.Errorf("%+v", top)
	}
}

// TestBounds holds the table against exact decayed counts.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 8).Draw(t, "capacity")
		half := 10 * time.Second
		tab := table(t, capacity, half)
		now := start
		type access struct {
			key string
			at  time.Time
			n   float64
		}
		var all []access
		for range rapid.IntRange(1, 80).Draw(t, "accesses") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
			a := access{fmt.Sprint(rapid.IntRange(0, 15).Draw(t, "key")), now, float64(rapid.IntRange(1, 20).Draw(t, "n"))}
			evicted, replaced := tab.Observe(a.at, a.key, a.n)
			if replaced && tab.Has(evicted) {
				t.Fatalf("%q was evicted and is there", evicted)
			}
			all = append(all, a)
		}
		per := math.Ln2 / half.Seconds()
		truth := map[string]float64{}
		total := 0.0
		for _, a := range all {
			w := a.n * math.Exp2(-now.Sub(a.at).Seconds()/half.Seconds()) * per
			truth[a.key] += w
			total += w
		}
		const tolerance = 1e-9
		if got := tab.Total(now); math.Abs(got-total) > tolerance*(1+total) {
			t.Fatalf("total %v, want %v", got, total)
		}
		if tab.Len() > capacity {
			t.Fatalf("%d keys in a table of %d", tab.Len(), capacity)
		}
		for key, rate := range truth {
			e, ok := tab.Rate(now, key)
			if !ok {
				if rate > total/float64(capacity)+tolerance {
					t.Fatalf("%s reads %v of %v and is not among %d", key, rate, total, capacity)
				}
				continue
			}
			if e.AtMost < rate-tolerance || e.AtLeast > rate+tolerance {
				t.Fatalf("%s: [%v, %v] does not hold %v", key, e.AtLeast, e.AtMost, rate)
			}
			if e.AtMost-rate > total/float64(capacity)+tolerance {
				t.Fatalf("%s: %v is off by more than W/k = %v", key, e.AtMost-rate, total/float64(capacity))
			}
		}
	})
}

func TestRemove(t *testing.T) {
	tab := table(t, 3, time.Second)
	for i, k := range []string{"a", "b", "c"} {
		tab.Observe(start, k, float64(i+1))
	}
	tab.Remove("b")
	tab.Remove("unknown")
	if _, replaced := tab.Observe(start, "d", 1); replaced || tab.Len() != 3 || tab.Has("b") {
		t.Errorf("replaced %v, %d keys", replaced, tab.Len())
	}
	if evicted, replaced := tab.Observe(start, "e", 1); !replaced || evicted == "c" {
		t.Errorf("evicted %q", evicted)
	}
	for _, n := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, replaced := tab.Observe(start, "f", n); replaced || tab.Has("f") {
			t.Errorf("count %v was taken", n)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	tab := table(b, 16_384, time.Minute)
	keys := make([]string, 1<<16)
	for i := range keys {
		keys[i] = fmt.Sprintf("product:%d:page", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tab.Observe(start, keys[(i*i)&(1<<16-1)], 1)
	}
}
