package judge

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/chaos/workload"
	"github.com/raptorflow/tercet/test/history"
)

// fences are a key's, by when they had landed; each place is the greatest up to
// there.
type fences []workload.Fence

func newFences(all []workload.Fence) fences {
	f := slices.Clone(all)
	slices.SortFunc(f, func(a, b workload.Fence) int { return int(a.Landed - b.Landed) })
	for i := 1; i < len(f); i++ {
		f[i].Place = max(f[i].Place, f[i-1].Place)
	}
	return f
}

// overtook returns when a value at place was first known to be dead.
func (f fences) overtook(place events.Position) (at time.Duration, dead bool) {
	i := sort.Search(len(f), func(i int) bool { return f[i].Place > place })
	if i == len(f) {
		return 0, false
	}
	return f[i].Landed, true
}

// place returns where the value of a read stands among the fences of its key.
func (ct *court) place(o workload.Op) (events.Position, bool) {
	switch o.Lane() {
	case workload.Loaded:
		return events.Position(o.Value), true
	case workload.Register, workload.Everywhere:
		if o.Value == 0 {
			return 0, true
		}
		p, ok := ct.Places[o.Key][o.Value]
		return p, ok
	}
	return 0, false
}

// drift is by how much clocks may differ in rate (A5), with something for the
// observer, who learns of a fence a moment after it has landed.
const drift = 1.02

// allowance is how old the level lets a value be.
func (ct *court) allowance(o workload.Op) time.Duration {
	switch o.Level {
	case "strong":
		return 0
	case "bounded":
		return time.Duration(float64(o.Bound) * drift)
	}
	return time.Duration(float64(ct.Lease) * drift)
}

// Age is how long before a read began its value had been dead; 0: it was not, or
// nobody can tell.
func (ct *court) age(o workload.Op) time.Duration {
	at, known := ct.place(o)
	if !known || !answered(o) {
		return 0
	}
	dead, ok := ct.fences[o.Key].overtook(at)
	if !ok {
		return 0
	}
	return max(0, time.Duration(o.Call)-dead)
}

// fresh judges reads by age; which says which reads.
func (ct *court) fresh(v *Verdict, which func(workload.Op) bool) {
	unknown, oldest := 0, time.Duration(0)
	for _, o := range ct.Ops {
		if !answered(o) || !which(o) {
			continue
		}
		switch o.Lane() {
		case workload.Register, workload.Everywhere, workload.Loaded:
		default:
			continue
		}
		if _, known := ct.place(o); !known {
			unknown++
			continue
		}
		v.Judged++
		age := ct.age(o)
		oldest = max(oldest, age)
		if age > ct.allowance(o) {
			v.accuse("dead for %s when it was read: %s", ms(age), tell(o))
		}
	}
	v.Figures = "oldest answer dead for " + ms(oldest)
	if unknown > 0 {
		v.Figures += fmt.Sprintf("; %d answers that the observer can't place", unknown)
	}
}

func (ct *court) g1(v *Verdict) {
	v.Expected = ct.byLane[workload.Register]+ct.byLane[workload.Loaded]+ct.byLane[workload.Everywhere] > 0
	ct.fresh(v, func(workload.Op) bool { return true })
}

func (ct *court) g3(v *Verdict) {
	v.Expected = ct.byLane[workload.Register]+ct.byLane[workload.Loaded]+ct.byLane[workload.Everywhere] > 0
	ct.fresh(v, func(o workload.Op) bool { return o.Level == "bounded" })
}

// afterwards is for how long after a tier was struck reads are judged as those
// of G6: copies go on coming from it.
const afterwards = 30 * time.Second

func (ct *court) g6(v *Verdict) {
	for _, f := range ct.Faults {
		v.Expected = v.Expected || (f.Tier || f.History) && f.Missing == ""
	}
	ct.fresh(v, func(o workload.Op) bool {
		return slices.ContainsFunc(ct.Faults, func(f Fault) bool {
			return (f.Tier || f.History) && time.Duration(o.Call) >= f.At && time.Duration(o.Call) < max(f.At, f.Until)+afterwards
		})
	})
}

func (ct *court) g7(v *Verdict) {
	for _, f := range ct.Faults {
		v.Expected = v.Expected || f.Restarts && f.Missing == "" && slices.ContainsFunc(ct.Ops, func(o workload.Op) bool { return o.Member == f.Target })
	}
	ct.fresh(v, func(o workload.Op) bool {
		return slices.ContainsFunc(ct.Faults, func(f Fault) bool {
			return f.Restarts && strings.Contains(f.Target, o.Member) && time.Duration(o.Call) >= max(f.At, f.Until)
		})
	})
}

// enoughLoads are so many that fences overtake one of them.
const enoughLoads = 300

// g9 judges reads of keys after a load of theirs had been overtaken.
func (ct *court) g9(v *Verdict) {
	overtaken := map[string]time.Duration{}
	loads, all := 0, 0
	for _, l := range ct.Loads {
		if workload.LaneOf(l.Key) != workload.Loaded {
			continue
		}
		all++
		for _, f := range ct.Fences[l.Key] {
			if int64(f.Place) > l.Value && f.Landed > l.Begun && f.Landed < l.End {
				loads++
				if at, ok := overtaken[l.Key]; !ok || l.End < at {
					overtaken[l.Key] = l.End
				}
				break
			}
		}
	}
	v.Expected = all >= enoughLoads
	ct.fresh(v, func(o workload.Op) bool {
		at, ok := overtaken[o.Key]
		return ok && time.Duration(o.Call) >= at
	})
	v.Figures = fmt.Sprintf("%d of %d loads overtaken; %s", loads, all, v.Figures)
}

// values needs no fence: what was never written for a key can't be its value.
func (ct *court) values(v *Verdict) {
	v.Expected = len(ct.Ops) > 0
	written := map[string]map[int64]bool{}
	for _, o := range ct.Ops {
		if o.Kind == history.Write {
			if written[o.Key] == nil {
				written[o.Key] = map[int64]bool{}
			}
			written[o.Key][o.Value] = true
		}
	}
	for _, o := range ct.Ops {
		if !answered(o) {
			continue
		}
		v.Judged++
		lane := o.Lane()
		switch {
		case o.Strange != "":
			v.accuse("%s: %s", o.Strange, tell(o))
		case (lane == workload.Register || lane == workload.Everywhere) && !written[o.Key][o.Value]:
			v.accuse("nobody wrote that: %s", tell(o))
		}
	}
}

// Ages returns for each operation how long the value that it read had been dead
// when it was called; 0: it had not, or it is no read.
func (c *Case) Ages() []time.Duration {
	ct := newCourt(*c)
	out := make([]time.Duration, len(ct.Ops))
	for i, o := range ct.Ops {
		out[i] = ct.age(o)
	}
	return out
}
