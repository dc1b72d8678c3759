package input

import (
	"math"
	"math/rand/v2"
	"sort"
	"strings"
)

// zipf draws ranks from 0 below n with probability proportional to
// 1/(rank+1)^s. Unlike the standard library's it takes s = 1 and below, which
// is what shops and web servers show.
type zipf struct {
	sums []float64 // cumulated weights
}

func newZipf(n int, s float64) zipf {
	z := zipf{sums: make([]float64, n)}
	sum := 0.0
	for i := range z.sums {
		sum += math.Pow(float64(i+1), -s)
		z.sums[i] = sum
	}
	return z
}

func (z zipf) draw(r *rand.Rand) int {
	x := r.Float64() * z.sums[len(z.sums)-1]
	return min(sort.SearchFloat64s(z.sums, x), len(z.sums)-1)
}

// intern keeps one copy of each key, since a trace names few keys often.
type intern map[string]string

func (i intern) join(parts ...string) string { return i.one(strings.Join(parts, "")) }

func (i intern) one(s string) string {
	if have, ok := i[s]; ok {
		return have
	}
	i[s] = s
	return s
}
