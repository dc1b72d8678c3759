package tiertest

import (
	"slices"
	"testing"
	"time"
)

// Ratio gathers rounds of a paired measurement: a raw part and ours in turn,
// so that whatever else the machine does meets both.
type Ratio struct{ raw, ours, ratio []float64 }

// Add adds a round: the time that one operation took.
func (r *Ratio) Add(raw, ours time.Duration) {
	r.raw = append(r.raw, float64(raw.Nanoseconds()))
	r.ours = append(r.ours, float64(ours.Nanoseconds()))
	r.ratio = append(r.ratio, float64(ours)/float64(raw))
}

// Report reports the medians.
func (r *Ratio) Report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(r.raw), "raw-ns")
	b.ReportMetric(median(r.ours), "ours-ns")
	b.ReportMetric(median(r.ratio), "ratio")
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
