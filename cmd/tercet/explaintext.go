package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/replay/chronicle"
)

// describe writes a key's history as people read it: what happened, what that
// means, who holds what.
func (v explained) describe(w io.Writer) {
	fmt.Fprintf(w, "%s   in partition %d of %s, positions %d to %d, as of %s\n\n",
		replay.Quote(v.Key), v.Partition, v.Domain, v.First, v.Applied, v.Time.Local().Format(time.DateTime))
	if v.Left > 0 {
		fmt.Fprintf(w, "    and %d events before; --count 0 shows all\n", v.Left)
	}
	day := ""
	for _, e := range v.Events {
		if d := e.Time.Local().Format(time.DateOnly); d != day {
			fmt.Fprintf(w, "  %s\n", d)
			day = d
		}
		mark := " "
		if e.Decides {
			mark = ">"
		}
		fmt.Fprintf(w, "  %s %s  %-10s  %-10d  %s\n", mark, e.Time.Local().Format("15:04:05.000"), e.Kind, e.At, saying(e))
	}
	fmt.Fprintln(w)
	v.verdicts(w)
	if len(v.Nodes) > 0 {
		fmt.Fprintln(w)
	}
	for _, n := range v.Nodes {
		n.describe(w)
	}
}

// saying is what an event says, in a line.
func saying(e chronicle.Event) string {
	c := e.Change
	var parts []string
	say := func(set bool, format string, args ...any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	switch e.Kind {
	case chronicle.Put, chronicle.Outrun:
		if c.ValueBytes != nil {
			say(true, "%d bytes", *c.ValueBytes)
		} else {
			say(true, "value not in the log")
		}
		if c.Version != nil {
			say(true, "row version %d", *c.Version)
		}
		say(e.Kind == chronicle.Outrun, "lost to a higher one, changes nothing")
		say(len(c.Tags) > 0, "tags %s", strings.Join(c.Tags, " "))
		if c.Expires != nil {
			say(true, "until %s", c.Expires.Local().Format(time.DateTime))
		}
	case chronicle.EpochBegan:
		say(true, "everything before it is void (%s)", c.Why)
	case chronicle.Unreadable:
		say(true, "fences everything: %s", c.Why)
	default:
		name := ""
		if e.By != "all" {
			name = " " + replay.Quote(e.Name)
		}
		say(true, "of %s%s", strings.Replace(e.By, "all", "everything", 1), name)
		say(c.Bracket != "", "%.8s", c.Bracket)
		say(c.Node != "", "opened by %s", c.Node)
	}
	say(c.Cause != "", "because of %s", replay.Quote(c.Cause))
	say(c.Source != "", "source position %s", replay.Quote(c.Source))
	say(c.Trace != "", "trace %s", traceID(c.Trace))
	return strings.Join(parts, ", ")
}

// traceID is the part of a traceparent that people look for.
func traceID(trace string) string {
	if f := strings.Split(trace, "-"); len(f) == 4 {
		return f[1]
	}
	return trace
}

func (v explained) verdicts(w io.Writer) {
	with := ""
	if len(v.Tags) > 0 {
		with = " with tags " + strings.Join(v.Tags, " ")
	}
	switch {
	case v.Applied == 0:
		fmt.Fprintln(w, "the log holds nothing up to there")
		return
	case v.Living == 0:
		fmt.Fprintf(w, "no copy%s is alive: a bracket is open, or the epoch is not known yet\n", with)
	default:
		fmt.Fprintf(w, "copies%s live if they were born at %d or later, in epoch %s\n", with, v.Living, v.Epoch)
	}
	if v.Put != nil {
		fmt.Fprintf(w, "the value put at %d is %s\n", v.Put.Birth, lot(*v.Put))
	}
	if v.Asked != nil {
		fmt.Fprintf(w, "a copy born at %d is %s\n", v.Asked.Birth, lot(*v.Asked))
	}
}

// lot is what becomes of a copy, in words.
func lot(v chronicle.Verdict) string {
	s := v.Life
	if v.Why != "" {
		s += ": " + v.Why
	}
	if v.Cause != "" {
		s += ", because of " + replay.Quote(v.Cause)
	}
	return s
}

func (h holding) describe(w io.Writer) {
	name := h.Node
	if name == "" {
		name = h.Address
	}
	if h.Problem != "" {
		fmt.Fprintf(w, "%s can't be asked: %s\n", name, h.Problem)
		return
	}
	serves := "serves"
	if h.FreshFor <= 0 {
		serves = "does not serve, being cut off"
	}
	fmt.Fprintf(w, "%s has applied %d and %s\n", name, h.Applied, serves)
	for _, t := range h.Tiers {
		if !t.Found {
			fmt.Fprintf(w, "  %-7s %s\n", t.Tier, t.Verdict)
			continue
		}
		fmt.Fprintf(w, "  %-7s born at %d, %d bytes: %s\n", t.Tier, t.Birth, t.Size, t.Verdict)
		if t.Log != nil {
			fmt.Fprintf(w, "          the log says: %s\n", lot(*t.Log))
		}
	}
	for i, s := range h.Served {
		if i+1 < len(h.Served) && h.Served[i+1].Birth == s.Birth && h.Served[i+1].Epoch == s.Epoch {
			continue // the last of those that served the same says it
		}
		fmt.Fprintf(w, "  served  what was born at %d, last sampled at %s, having applied %d\n", s.Birth, s.At.Local().Format(time.TimeOnly), s.Applied)
	}
}
