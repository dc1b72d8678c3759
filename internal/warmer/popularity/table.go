package popularity

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrConfig reports a configuration that breaks a rule.
var ErrConfig = errors.New("invalid popularity configuration")

// Config shapes a [Table].
type Config struct {
	// Capacity is the number of keys kept, 1 to 10 million. A key costs about
	// 150 bytes beside its own length. More keys: rarer keys are told apart,
	// since estimates are off by at most W/Capacity.
	Capacity int
	// HalfLife is the age at which an access weighs half, 1 ms or longer.
	// Longer: steadier ranks; shorter: a key that went cold is forgotten
	// sooner.
	HalfLife time.Duration
}

// Table ranks keys. It is for one goroutine at a time.
type Table struct {
	config Config
	// landmark is the time at which an access weighs 1; one at t weighs
	// 2^((t-landmark)/half-life).
	landmark, latest time.Time
	items            map[string]*item
	least            byWeight
	total            float64 // forward weight of everything observed
}

type item struct {
	key    string
	weight float64 // never below the truth
	excess float64 // how much of weight may be another key's
	at     int     // index in the heap
}

// New returns an empty table.
func New(c Config) (*Table, error) {
	switch {
	case c.Capacity < 1 || c.Capacity > 10_000_000:
		return nil, fmt.Errorf("%w: capacity %d, want 1 to 10000000", ErrConfig, c.Capacity)
	case c.HalfLife < time.Millisecond:
		return nil, fmt.Errorf("%w: half-life %v, want 1ms or longer", ErrConfig, c.HalfLife)
	}
	return &Table{config: c, items: make(map[string]*item)}, nil
}

// Len returns the number of keys in the table.
func (t *Table) Len() int { return len(t.items) }

// Has reports whether key is in the table.
func (t *Table) Has(key string) bool { return t.items[key] != nil }

// Observe counts n accesses of key at now. If key took another key's place it
// returns that key and true. Counts that are not positive change nothing.
func (t *Table) Observe(now time.Time, key string, n float64) (evicted string, replaced bool) {
	if !(n > 0) || math.IsInf(n, 0) {
		return "", false
	}
	w := n * t.advance(now)
	t.total += w
	if it := t.items[key]; it != nil {
		it.weight += w
		heap.Fix(&t.least, it.at)
		return "", false
	}
	if len(t.items) < t.config.Capacity {
		t.insert(&item{key: strings.Clone(key), weight: w})
		return "", false
	}
	victim := t.least[0]
	delete(t.items, victim.key)
	evicted = victim.key
	*victim = item{key: strings.Clone(key), weight: victim.weight + w, excess: victim.weight}
	t.items[victim.key] = victim
	heap.Fix(&t.least, 0)
	return evicted, true
}

func (t *Table) insert(it *item) {
	t.items[it.key] = it
	heap.Push(&t.least, it)
}

// Remove forgets key.
func (t *Table) Remove(key string) {
	if it := t.items[key]; it != nil {
		delete(t.items, key)
		heap.Remove(&t.least, it.at)
	}
}

// Estimate is what a table knows of a key's rate, in accesses per second:
// the true rate lies between AtLeast and AtMost. After a step from 0 to a
// steady rate r it shows r/2 one half-life later and r in the limit.
type Estimate struct {
	Key             string
	AtLeast, AtMost float64
}

// Rate returns the estimate of key at now; false if the table does not hold
// it.
func (t *Table) Rate(now time.Time, key string) (Estimate, bool) {
	it := t.items[key]
	if it == nil {
		return Estimate{}, false
	}
	return t.estimate(it, t.advance(now)), true
}

// Top returns the n keys of the highest AtLeast at now, highest first; ties by
// key, so that the answer depends on nothing but what was observed.
func (t *Table) Top(now time.Time, n int) []Estimate {
	scale := t.advance(now)
	all := make([]Estimate, 0, len(t.items))
	for _, it := range t.items {
		all = append(all, t.estimate(it, scale))
	}
	SortByRate(all)
	return all[:min(max(n, 0), len(all))]
}

// SortByRate sorts estimates by AtLeast, highest first, ties by key.
func SortByRate(all []Estimate) {
	slices.SortFunc(all, func(a, b Estimate) int {
		return cmp.Or(cmp.Compare(b.AtLeast, a.AtLeast), cmp.Compare(a.Key, b.Key))
	})
}

// Total returns the decayed rate of everything observed, in accesses per
// second.
func (t *Table) Total(now time.Time) float64 {
	return t.total / t.advance(now) * t.perSecond()
}

func (t *Table) estimate(it *item, scale float64) Estimate {
	per := t.perSecond() / scale
	return Estimate{Key: it.key, AtLeast: (it.weight - it.excess) * per, AtMost: it.weight * per}
}

// perSecond turns a decayed weight into a rate: a steady rate r accumulates
// the weight r × half-life / ln 2.
func (t *Table) perSecond() float64 { return math.Ln2 / t.config.HalfLife.Seconds() }

// rebase is the exponent at which weights are scaled down: far from where a
// float64 overflows, and rare.
const rebase = 256

// advance moves the table to now and returns what one access weighs there.
func (t *Table) advance(now time.Time) float64 {
	if t.landmark.IsZero() {
		t.landmark, t.latest = now, now
	}
	if now.After(t.latest) {
		t.latest = now
	}
	halves := float64(t.latest.Sub(t.landmark)) / float64(t.config.HalfLife)
	if halves < rebase {
		return math.Exp2(halves)
	}
	// Scaling by one factor keeps the heap's order. What underflows to zero
	// was read more than a thousand half-lives ago.
	f := math.Exp2(-halves)
	for _, it := range t.least {
		it.weight *= f
		it.excess *= f
	}
	t.total *= f
	t.landmark = t.latest
	return 1
}

// byWeight is a heap with the least weight first.
type byWeight []*item

func (h byWeight) Len() int           { return len(h) }
func (h byWeight) Less(i, j int) bool { return h[i].weight < h[j].weight }
func (h byWeight) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is heap.Interface's.
func (h *byWeight) Push(x any) {
	it := x.(*item)
	it.at = len(*h)
	*h = append(*h, it)
}

// Pop is heap.Interface's.
func (h *byWeight) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
