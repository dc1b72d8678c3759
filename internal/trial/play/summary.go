package play

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/node"
)

// Summary is what a run came to.
type Summary struct {
	Input string `json:"input"`
	Seed  uint64 `json:"seed"`
	Nodes int    `json:"nodes"`
	// Seconds is how long the run took, from its start to its summary.
	Seconds float64 `json:"seconds"`

	// Reads are answers; Refused are reads that a node would not answer, which
	// is its right when it is not sure.
	Reads   uint64 `json:"reads"`
	Refused uint64 `json:"refused"`
	Hits    Hits   `json:"hits"`
	// Loads are calls of the origin, for readers and for the warmer.
	Loads uint64 `json:"loads"`
	// Warmed are those of the warmer.
	Warmed uint64 `json:"warmed"`

	// Events were published, Invalidations are the fences in the log.
	Events        uint64 `json:"events"`
	Invalidations uint64 `json:"invalidations"`
	// Unfenced are events whose fence never reached all nodes; it must be 0.
	Unfenced    uint64 `json:"unfenced"`
	DeadLetters uint64 `json:"dead_letters"`
	// EventToLastNode is the time from the publish of an event until the last
	// node had applied its fence.
	EventToLastNode Times `json:"event_to_last_node_ms"`

	// BoundMS is the staleness bound in milliseconds.
	BoundMS int64 `json:"bound_ms"`
	// LateReads returned a value that had been overwritten, within the bound;
	// OldestMS is the greatest age among them.
	LateReads uint64  `json:"late_reads"`
	OldestMS  float64 `json:"oldest_late_ms"`
	// StaleReads returned a value overwritten longer ago than the bound;
	// WrongValues were not the key's at all. Both must be 0.
	StaleReads  uint64 `json:"stale_reads"`
	WrongValues uint64 `json:"wrong_values"`

	// Faults tells the first of the faults in words.
	Faults []string `json:"faults"`
	// LeftOut says what of the input was not played.
	LeftOut []string `json:"left_out"`
}

// Hits are answers by where they came from.
type Hits struct {
	L1    uint64 `json:"l1"`
	L2    uint64 `json:"l2"`
	L3    uint64 `json:"l3"`
	Owner uint64 `json:"owner"`
	// Origin are answers that a load gave, own or shared.
	Origin uint64 `json:"origin"`
}

// Times are quantiles in milliseconds over Count events.
type Times struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Count int     `json:"count"`
}

// Coherent reports whether the run saw nothing that it must not.
func (s *Summary) Coherent() bool {
	return s.StaleReads == 0 && s.WrongValues == 0 && s.Unfenced == 0
}

func (p *player) summary() Summary {
	pending, fences, took := p.Arrivals.counts(0)
	t := p.tally
	parts := p.Fleet.Stats()
	s := Summary{
		Input: p.Workload.Name, Nodes: len(p.lanes),
		Reads: t.reads.Load(), Refused: t.refused.Load(),
		Hits: Hits{
			L1: t.from[node.FromMemory].Load(), L2: t.from[node.FromShared].Load(),
			L3: t.from[node.FromDisk].Load(), Owner: t.from[node.FromOwner].Load(),
			Origin: t.from[node.FromOrigin].Load(),
		},
		Loads: t.loads.Load(), Warmed: parts.Warmed,
		Events: t.events.Load(), Invalidations: fences,
		Unfenced: uint64(pending), DeadLetters: parts.DeadLetters,
		EventToLastNode: Times{
			P50: inMillis(quantile(took, 0.5)), P99: inMillis(quantile(took, 0.99)),
			Max: inMillis(quantile(took, 1)), Count: len(took),
		},
		BoundMS:   p.Bound.Milliseconds(),
		LateReads: t.late.Load(), OldestMS: inMillis(time.Duration(t.oldest.Load())),
		StaleReads: t.stale.Load(), WrongValues: t.wrong.Load(),
		Faults: append([]string{}, t.told()...), LeftOut: append([]string{}, p.Workload.LeftOut...),
	}
	if p.thinned > 0 {
		s.LeftOut = append(s.LeftOut, fmt.Sprintf("%d reads here and there: the machine was busy", p.thinned))
	}
	if p.unplayed > 0 {
		s.LeftOut = append(s.LeftOut, fmt.Sprintf("the last %d steps: the time did not suffice", p.unplayed))
	}
	return s
}

func inMillis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// Print writes the summary for people.
func (s *Summary) Print(out *Show) {
	out.Phase("Summary")
	share := func(n uint64) string {
		if s.Reads == 0 {
			return number(n)
		}
		return fmt.Sprintf("%s (%.1f %%)", number(n), 100*float64(n)/float64(s.Reads))
	}
	say := func(name, format string, args ...any) {
		out.Line(fmt.Sprintf("  %-22s %s", name, fmt.Sprintf(format, args...)))
	}
	say("reads", "%s on %d nodes in %.1f s", number(s.Reads), s.Nodes, s.Seconds)
	say("  from L1 (memory)", "%s", share(s.Hits.L1))
	say("  from L3 (own disk)", "%s", share(s.Hits.L3))
	say("  from L2 (Redis)", "%s", share(s.Hits.L2))
	if s.Hits.Owner > 0 {
		say("  from another node", "%s", share(s.Hits.Owner))
	}
	say("  from the origin", "%s", share(s.Hits.Origin))
	if s.Refused > 0 {
		say("  refused", "%s", number(s.Refused))
	}
	say("loads", "%s, %s of them ahead of readers by the warmer", number(s.Loads), number(s.Warmed))
	say("events", "%s", number(s.Events))
	say("invalidations", "%s", number(s.Invalidations))
	if s.DeadLetters > 0 {
		say("dead letters", "%s", number(s.DeadLetters))
	}
	t := s.EventToLastNode
	say("event to last node", "p50 %.2f ms, p99 %.2f ms, longest %.2f ms", t.P50, t.P99, t.Max)
	say("late reads", "%s, the oldest %.2f ms after it was overwritten; allowed are %d ms", number(s.LateReads), s.OldestMS, s.BoundMS)
	verdict := func(name string, n uint64) {
		style := green
		if n > 0 {
			style = red
		}
		say(name, "%s", out.paint(style, number(n)))
	}
	verdict("stale_reads", s.StaleReads)
	verdict("wrong values", s.WrongValues)
	if s.Unfenced > 0 {
		verdict("events without fence", s.Unfenced)
	}
	for _, f := range s.Faults {
		out.note("%s", f)
	}
	if len(s.LeftOut) > 0 {
		say("left out of the input", "%s", strings.Join(s.LeftOut, "; "))
	}
}

// PrintJSON writes the summary as one line.
func (s *Summary) PrintJSON(out *Show) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode summary: %w", err)
	}
	out.Line(string(b))
	return nil
}
