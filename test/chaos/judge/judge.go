package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/test/chaos/workload"
	"github.com/raptorflow/tercet/test/history"
)

// judges are all there are, in the order of the report.
var judges = []struct {
	name, what string
	judge      func(*court, *Verdict)
}{
	{"G1", "no read returns what a fence had killed, less what its level allows", (*court).g1},
	{"G2", "sessions read their writes, and never go back", (*court).g2},
	{"G3", "bounded reads keep their bound", (*court).g3},
	{"G4", "writes, invalidations and strong reads are linearizable for each key (porcupine)", (*court).g4},
	{"G4b", "reads under brackets and queries of the database are one register (porcupine)", (*court).g4b},
	{"G5", "once a write of concern everywhere has returned, nobody sees what was before it (porcupine)", (*court).g5},
	{"G6", "a tier that was emptied, damaged or put back brings nothing dead to life", (*court).g6},
	{"G7", "a process that was killed judges after its start as one that was not", (*court).g7},
	{"G8", "a changed history of the log is noticed within a lease", (*court).g8},
	{"G9", "loads that fences overtook leave nothing dead behind", (*court).g9},
	{"G10", "one load of a key at a time, when nothing was wrong", (*court).g10},
	{"values", "every value is one that was written for its key, to the last byte", (*court).values},
	{"lost", "what was acknowledged is in the log, or a new epoch says that it is not", (*court).lost},
	{"unavailable", "no level is out of reach for longer than allowed", (*court).unavailable},
	{"recovery", "after a fault is healed every member serves every level again", (*court).recovery},
	{"leaks", "no process keeps goroutines, files or memory that it does not need", (*court).leaks},
}

// Names returns the names of all judges.
func Names() []string {
	var names []string
	for _, j := range judges {
		names = append(names, j.name)
	}
	return names
}

// All judges a case. It may take a while: half a minute for each key whose
// history porcupine can't decide.
func All(c Case) []Verdict {
	c.Limits = c.Limits.withDefaults()
	ct := newCourt(c)
	var out []Verdict
	for _, j := range judges {
		v := Verdict{Name: j.name, What: j.what}
		j.judge(ct, &v)
		if c.Expect != nil {
			v.Expected = slices.Contains(c.Expect, j.name)
		}
		if v.Judged == 0 && v.Idle == "" {
			v.Idle = "nothing of the kind was recorded"
		}
		out = append(out, v)
	}
	return out
}

// court is a case with what several judges need.
type court struct {
	Case
	fences map[string]fences
	byLane map[workload.Lane]int
	// cleared is what clears returns, once it was asked.
	cleared []workload.Fence
}

func newCourt(c Case) *court {
	slices.SortStableFunc(c.Ops, func(a, b workload.Op) int { return int(a.Call - b.Call) })
	ct := &court{Case: c, fences: map[string]fences{}, byLane: map[workload.Lane]int{}}
	for key, all := range c.Fences {
		ct.fences[key] = newFences(all)
	}
	for _, o := range c.Ops {
		ct.byLane[o.Lane()]++
	}
	return ct
}

// accuse counts a violation and keeps the first few.
func (v *Verdict) accuse(format string, args ...any) {
	const most = 5
	if v.Violations++; v.Violations <= most {
		v.First += fmt.Sprintf(format, args...) + "\n"
	}
}

// tell is an operation for people.
func tell(o workload.Op) string {
	text := strings.TrimSpace(o.Op.String())
	text += fmt.Sprintf(" — %s by %s", o.Member, o.Via)
	if o.Trouble != "" {
		text += ", " + o.Trouble
	}
	return text
}

func isRead(o workload.Op) bool { return o.Kind == history.Read }

// answered are reads that found something.
func answered(o workload.Op) bool { return isRead(o) && o.Outcome == history.Done }

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }
