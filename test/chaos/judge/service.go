package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/test/chaos/workload"
	"github.com/raptorflow/tercet/test/history"
)

// Service is what an operation asks for: a read's level, or a write's concern;
// empty for what is no service of the fleet.
func Service(o workload.Op) string {
	switch {
	case o.Kind == history.Query:
		return ""
	case o.Kind == history.Read:
		return o.Level
	case o.Level == "event":
		return "event"
	case o.Lane() == workload.Everywhere:
		return "everywhere write"
	case o.Lane() == workload.Bracketed:
		return "bracketed write"
	}
	return "logged write"
}

// Services are all that there are, in the order of the report.
var Services = []string{"eventual", "bounded", "session", "strong", "logged write", "everywhere write", "bracketed write", "event"}

// Served reports whether an operation was answered: a miss is an answer.
func Served(o workload.Op) bool { return o.Outcome == history.Done || o.Outcome == history.Miss }

// Outage is a time in which nobody was served.
type Outage struct{ From, To time.Duration }

// Outages returns the times in which a service failed everybody who asked: from
// the call of the first failure to the return of the next success.
func (c *Case) Outages(service string) []Outage {
	var out []Outage
	var ops []workload.Op
	for _, o := range c.Ops {
		if Service(o) == service {
			ops = append(ops, o)
		}
	}
	// Who waits for an answer that never comes is without it from the call on.
	slices.SortStableFunc(ops, func(a, b workload.Op) int { return int(a.Return - b.Return) })
	begun := time.Duration(-1)
	for _, o := range ops {
		switch {
		case !Served(o):
			if begun < 0 {
				begun = time.Duration(o.Call)
			}
		case begun >= 0:
			if to := time.Duration(o.Return); to > begun {
				out = append(out, Outage{max(begun, lastServed(ops, o.Return)), to})
			}
			begun = -1
		}
	}
	if begun >= 0 {
		out = append(out, Outage{max(begun, lastServed(ops, int64(c.Ended)+1)), max(c.Ended, begun)})
	}
	return out
}

// lastServed returns when the last success before at was told.
func lastServed(ops []workload.Op, at int64) time.Duration {
	i, _ := slices.BinarySearchFunc(ops, at, func(o workload.Op, at int64) int { return int(o.Return - at) })
	for i--; i >= 0; i-- {
		if Served(ops[i]) {
			return time.Duration(ops[i].Return)
		}
	}
	return 0
}

func (ct *court) unavailable(v *Verdict) {
	v.Expected = len(ct.Ops) > 0
	var told []string
	for _, s := range Services {
		asked, refused := 0, 0
		for _, o := range ct.Ops {
			if Service(o) == s {
				asked++
				if !Served(o) {
					refused++
				}
			}
		}
		if asked == 0 {
			continue
		}
		v.Judged += asked
		var longest Outage
		for _, o := range ct.Outages(s) {
			if o.To-o.From > longest.To-longest.From {
				longest = o
			}
		}
		d := longest.To - longest.From
		told = append(told, fmt.Sprintf("%s %s (%.1f%% served)", s, ms(d), 100*float64(asked-refused)/float64(asked)))
		if d > ct.Limits.Unavailable {
			v.accuse("%s was out of reach for %s, from %s on; at most %s", s, ms(d), ms(longest.From), ms(ct.Limits.Unavailable))
		}
	}
	v.Figures = "longest without: " + strings.Join(told, ", ")
}

// recovery measures for each fault how long after its end each member serves
// each level again. The next fault ends the time in which that can be seen.
func (ct *court) recovery(v *Verdict) {
	faults := slices.Clone(ct.Faults)
	slices.SortFunc(faults, func(a, b Fault) int { return int(a.At - b.At) })
	type of struct{ member, service string }
	byWay := map[of][]workload.Op{}
	for _, o := range ct.Ops {
		if isRead(o) && o.Via != "origin" {
			w := of{o.Member, o.Level}
			byWay[w] = append(byWay[w], o)
		}
	}
	slowest, told := time.Duration(0), ""
	for _, f := range faults {
		if f.Missing != "" || f.Until == 0 {
			continue
		}
		v.Expected = true
		end := ct.Ended
		for _, next := range faults {
			if next.At > f.At && next.At < end && next.At >= f.Until {
				end = next.At
			} else if next.At < f.Until && next.Until > f.Until {
				end = f.Until // another one was still on
			}
		}
		for w, ops := range byWay {
			i, _ := slices.BinarySearchFunc(ops, int64(f.Until), func(o workload.Op, at int64) int { return int(o.Call - at) })
			took, served, asked := time.Duration(0), false, 0
			for _, o := range ops[i:] {
				if time.Duration(o.Call) > end {
					break
				}
				if asked++; Served(o) {
					took, served = time.Duration(o.Return)-f.Until, true
					break
				}
			}
			if asked == 0 {
				continue
			}
			if !served {
				took = end - f.Until
			}
			if served || took > ct.Limits.Recovery {
				v.Judged++
			}
			if took > slowest {
				slowest, told = took, fmt.Sprintf("%s at %s, after %s of %s", w.member, w.service, f.Kind, f.Target)
			}
			if took > ct.Limits.Recovery {
				v.accuse("%s does not serve %s %s after %s of %s was healed at %s", w.member, w.service, ms(took), f.Kind, f.Target, ms(f.Until))
			}
		}
	}
	if told != "" {
		v.Figures = fmt.Sprintf("slowest %s: %s", ms(slowest), told)
	}
}
