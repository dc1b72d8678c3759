package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/raptorflow/tercet/internal/tiers"
)

// Counts is what happened in runs, by name.
type Counts struct {
	mu      sync.Mutex
	Faults  map[string]int
	Judged  map[string]int
	Answers map[string]int
}

func newCounts() *Counts {
	return &Counts{Faults: map[string]int{}, Judged: map[string]int{}, Answers: map[string]int{}}
}

// NewCounts returns counts of nothing yet.
func NewCounts() *Counts { return newCounts() }

func (c *Counts) strike(what string) { c.add(c.Faults, what) }
func (c *Counts) judged(what string) { c.add(c.Judged, what) }
func (c *Counts) answer(what string) { c.add(c.Answers, what) }

func (c *Counts) add(to map[string]int, what string) {
	c.mu.Lock()
	to[what]++
	c.mu.Unlock()
}

// Add adds o's counts.
func (c *Counts) Add(o *Counts) {
	for _, m := range []struct{ to, from map[string]int }{{c.Faults, o.Faults}, {c.Judged, o.Judged}, {c.Answers, o.Answers}} {
		for k, n := range m.from {
			m.to[k] += n
		}
	}
}

// String lists the counts.
func (c *Counts) String() string {
	var b strings.Builder
	for _, m := range []struct {
		title string
		of    map[string]int
	}{{"faults", c.Faults}, {"judged", c.Judged}, {"answers", c.Answers}} {
		fmt.Fprintf(&b, "%s:\n", m.title)
		for _, k := range slices.Sorted(maps.Keys(m.of)) {
			fmt.Fprintf(&b, "  %-44s %9d\n", k, m.of[k])
		}
	}
	return b.String()
}

// Missing returns what of the faults and judges never came up.
func (c *Counts) Missing() (out []string) {
	for _, kinds := range [][]weighted{faults, historyFaults, holes, upgrades, witnessFaults} {
		for _, f := range kinds {
			if c.Faults[f.name] == 0 {
				out = append(out, f.name)
			}
		}
	}
	for _, f := range noises {
		if c.Faults[f] == 0 {
			out = append(out, f)
		}
	}
	for _, j := range judges {
		if c.Judged[j] == 0 {
			out = append(out, j)
		}
	}
	for _, n := range partitions {
		if j := withPartitions(n); c.Judged[j] == 0 {
			out = append(out, j)
		}
	}
	return out
}

// withPartitions names the runs of domains with n partitions.
func withPartitions(n int) string { return fmt.Sprintf("runs with %d partition(s)", n) }

var noises = []string{
	"log: slow answer", "log: request lost", "log: answer lost", "log: refused", "log: repeated", "log: dropped",
	"log: overtaken", "log: stalled", "log: slow delivery", "peers: lost", "peers: twice", "peers: late",
	"store: request lost", "store: reply lost", "store: late set", "memory: evicted", "disk: another one", "tier off", "origin: slow load",
	"copies: lost", "copies: twice", "copies: late", "copies: lent", "copies: question lost", "copies: answer late",
	"members: all were told what the log lost", "log rolled back, one is left",
	"writer: dies between commit and fence", "writer: dies in its bracket", "writer: zombie commits",
	"writer: outbox published", "writer: bracket resolved",
}

var judges = []string{
	"G2 session", "G3 bounded", "G4 strong", "G4b bracketed", "G5 everywhere", "G6 after a tier was rolled back",
	"G7 on a restarted node", "G8 history", "G8 by what the members were told", "G9 after a late copy", "G10 once", "G10 answered by another node's load", "liveness", "convergence",
	"level bounded", "level eventual", "level session", "level strong", "audited reads",
}

// valueOf returns the versions in an encoded entry.
func valueOf(b []byte) (map[string]int, error) {
	e, err := tiers.Parse(b)
	if err != nil {
		return nil, err
	}
	return parse(e.Payload())
}
