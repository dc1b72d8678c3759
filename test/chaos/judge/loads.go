package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/gauge"
	"github.com/raptorflow/tercet/test/chaos/workload"
)

// unrest is for how long around a fault loads may be too many: turns run out
// after three seconds, and owners change.
const unrest = 10 * time.Second

// calm reports whether no fault was near. What clients do by themselves is none.
func (ct *court) calm(from, to time.Duration) bool {
	return !slices.ContainsFunc(ct.Faults, func(f Fault) bool {
		switch workload.Surge(f.Kind) {
		case workload.HotKey, workload.Skew, workload.Stampede:
			return false
		}
		return f.Missing == "" && from < max(f.At, f.Until)+unrest && to > f.At-time.Second
	})
}

// g10 looks at loads of the herd's keys, whose readers may all share one.
func (ct *court) g10(v *Verdict) {
	byKey := map[string][]workload.Load{}
	for _, l := range ct.Loads {
		if workload.LaneOf(l.Key) == workload.Herd {
			byKey[l.Key] = append(byKey[l.Key], l)
		}
	}
	// A fence makes the next load one that nobody may share with the last; when
	// each member learns of it takes a moment.
	const moment = time.Second
	for key, loads := range byKey {
		slices.SortFunc(loads, func(a, b workload.Load) int { return int(a.Begun - b.Begun) })
		for i, l := range loads {
			if !ct.calm(l.Begun, l.End) {
				continue
			}
			v.Judged++
			if i == 0 || loads[i-1].End <= l.Begun {
				continue
			}
			first := loads[i-1]
			fenced := slices.ContainsFunc(ct.clears(), func(f workload.Fence) bool {
				return f.Landed+moment > first.Begun && f.Called < l.Begun
			})
			if !fenced {
				v.accuse("%s loaded by %s from %s to %s, and by %s from %s", key, first.Member, ms(first.Begun), ms(first.End), l.Member, ms(l.Begun))
			}
		}
	}
}

// clears are the invalidations of everything, and of the herd's keys.
func (ct *court) clears() []workload.Fence {
	if ct.cleared == nil {
		ct.cleared = []workload.Fence{}
		for key, all := range ct.Fences {
			if workload.LaneOf(key) == workload.Herd {
				ct.cleared = append(ct.cleared, all...)
			}
		}
		for _, o := range ct.Ops {
			if o.All {
				ct.cleared = append(ct.cleared, workload.Fence{Called: time.Duration(o.Call), Landed: time.Duration(o.Return)})
			}
		}
	}
	return ct.cleared
}

// A nats-server that restores a stream, or catches up with one, grows by a hundred
// MiB within seconds and gives it back over some four minutes. In a life too short
// for that it is not accused of less than surge.
const (
	settles = 6 * time.Minute
	surge   = 256 << 20
)

// leaks compares what each process held in the first third of its life with the
// last. What counts is the least of the last third: a surge is no leak. The
// memory of the harness, which the embedded members share, is told and not judged.
func (ct *court) leaks(v *Verdict) {
	v.Expected = len(ct.Samples) > 0
	type life struct {
		name, kind string
		pid        int
	}
	lives := map[life][]gauge.Sample{}
	for _, s := range ct.Samples {
		l := life{s.Name, s.Kind, s.Pid}
		lives[l] = append(lives[l], s)
	}
	const fewest = 9
	limits := [3]struct {
		what          string
		factor, slack float64
		unit          float64
		of            func(gauge.Sample) float64
	}{
		{"goroutines", 1.5, 100, 1, func(s gauge.Sample) float64 { return float64(s.Goroutines) }},
		{"open files", 1.5, 64, 1, func(s gauge.Sample) float64 { return float64(s.Files) }},
		{"MiB", ct.Limits.Growth, 64 << 20, 1 << 20, func(s gauge.Sample) float64 { return float64(s.RSS) }},
	}
	var most [3]string
	var worst [3]float64
	for l, all := range lives {
		if len(all) < fewest {
			continue
		}
		v.Judged += len(all)
		unsettled := l.kind == string(fleet.NATS) && all[len(all)-1].At-all[0].At < settles
		for i, limit := range limits {
			first, last := column(all[:len(all)/3], limit.of), column(all[2*len(all)/3:], limit.of)
			if len(first) == 0 || len(last) == 0 {
				continue
			}
			before, after := first[len(first)/2], last[0]
			if g := after - before; g > worst[i] || most[i] == "" {
				worst[i], most[i] = g, fmt.Sprintf("%s %.0f → %.0f %s", l.name, before/limit.unit, after/limit.unit, limit.what)
			}
			allowed := before*limit.factor + limit.slack
			switch {
			case limit.what == "MiB" && l.name == gauge.Harness:
				continue // it keeps every operation
			case limit.what == "MiB" && unsettled:
				allowed = max(allowed, surge)
			}
			if after > allowed {
				v.accuse("%s (%d): %.0f → %.0f %s", l.name, l.pid, before/limit.unit, after/limit.unit, limit.what)
			}
		}
	}
	v.Figures = "most growth: " + strings.Join(most[:], ", ")
	if v.Judged == 0 {
		v.Figures, v.Idle = "", "no process lived long enough"
		v.Expected = false
	}
}

// column returns one figure of samples, sorted, without those nobody could tell.
func column(all []gauge.Sample, of func(gauge.Sample) float64) []float64 {
	var out []float64
	for _, s := range all {
		if x := of(s); x > 0 {
			out = append(out, x)
		}
	}
	slices.Sort(out)
	return out
}
