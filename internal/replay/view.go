package replay

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// View is a record as people and programs read it.
type View struct {
	Partition int             `json:"partition"`
	Position  events.Position `json:"position"`
	Time      time.Time       `json:"time"`
	ID        string          `json:"id"`
	Bytes     int             `json:"bytes"`
	Changes   []ChangeView    `json:"changes,omitempty"`
	// Problem is why a record could not be decoded; nodes take such a one as a
	// fence of everything.
	Problem string `json:"problem,omitempty"`
}

// ChangeView is one change; only the fields of its kind are set.
type ChangeView struct {
	Kind     string   `json:"kind"`
	Keys     []string `json:"keys,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Globs    []string `json:"globs,omitempty"`
	All      bool     `json:"all,omitempty"`
	Soft     bool     `json:"soft,omitempty"`
	Source   string   `json:"source_position,omitempty"`
	Cause    string   `json:"cause,omitempty"`
	Trace    string   `json:"trace,omitempty"`
	Bracket  string   `json:"bracket,omitempty"`
	// ValueBytes and Expires are those of a value that rides inline.
	ValueBytes *int       `json:"value_bytes,omitempty"`
	Expires    *time.Time `json:"expires,omitempty"`
	Version    *uint64    `json:"row_version,omitempty"`
	Node       string     `json:"node,omitempty"`
	Number     uint64     `json:"number,omitempty"`
	Applied    uint64     `json:"applied,omitempty"`
	Leave      bool       `json:"leave,omitempty"`
	Deadline   *time.Time `json:"deadline,omitempty"`
	Epoch      string     `json:"epoch,omitempty"`
	Why        string     `json:"why,omitempty"`
}

// ViewOf returns the view of a record that was delivered.
func ViewOf(partition int, d events.Delivery) View {
	r, err := events.DecodeRecord(d.Data)
	return viewOf(partition, d, r, err)
}

func viewOf(partition int, d events.Delivery, r events.Record, err error) View {
	v := View{Partition: partition, Position: d.Position, Time: time.Unix(0, d.Time).UTC(), ID: d.ID.String(), Bytes: len(d.Data)}
	if err != nil {
		v.Problem = err.Error()
		return v
	}
	for _, c := range r.Changes {
		v.Changes = append(v.Changes, ViewChange(c))
	}
	return v
}

// OnlyPulses reports whether the record says nothing but that nodes are alive.
func (v *View) OnlyPulses() bool {
	for _, c := range v.Changes {
		if c.Kind != "pulse" {
			return false
		}
	}
	return v.Problem == ""
}

// Write writes the record for people, a line for each change.
func (v *View) Write(w io.Writer) error {
	at := fmt.Sprintf("%s  %d/%d", v.Time.Local().Format("15:04:05.000"), v.Partition, v.Position)
	for _, c := range v.Changes {
		if _, err := fmt.Fprintf(w, "%-28s  %s\n", at, c.Text()); err != nil {
			return err
		}
		at = ""
	}
	if v.Problem != "" {
		if _, err := fmt.Fprintf(w, "%-28s  not understood, fences everything: %s\n", at, v.Problem); err != nil {
			return err
		}
	}
	return nil
}

// ViewChange returns the view of one change.
func ViewChange(c events.Change) ChangeView {
	switch c := c.(type) {
	case *events.Put:
		v := ChangeView{Kind: "put", Keys: []string{c.Key}}
		if c.Version.Known {
			v.Version = &c.Version.N
		}
		if e, err := tiers.Parse(c.Entry); err == nil {
			n := len(e.Payload())
			v.ValueBytes = &n
			for t := range e.Tags() {
				v.Tags = append(v.Tags, t)
			}
			if ms := e.ExpiryMilli(); ms != 0 {
				at := time.UnixMilli(ms).UTC()
				v.Expires = &at
			}
		}
		return v
	case *events.Invalidate:
		v := ViewScope("invalidate", c.Scope)
		v.Soft, v.Source, v.Cause, v.Trace = c.Soft, c.Source, c.Cause.Event, c.Cause.Trace
		return v
	case *events.Intent:
		v := ViewScope("intent", c.Scope)
		v.Bracket = c.Bracket.String()
		at := c.Deadline.UTC()
		v.Deadline = &at
		v.Node = string(c.Writer)
		return v
	case *events.End:
		v := ViewScope("end", c.Scope)
		v.Bracket = c.Bracket.String()
		return v
	case *events.Pulse:
		return ChangeView{Kind: "pulse", Node: string(c.Node), Number: c.Number, Applied: uint64(c.Applied), Leave: c.Leave}
	case *events.EpochChange:
		return ChangeView{Kind: "epoch", Epoch: c.Epoch.String(), Why: c.Why}
	}
	return ChangeView{Kind: "unknown"}
}

// ViewScope returns the view of what a change of some kind covers.
func ViewScope(kind string, s events.Scope) ChangeView {
	return ChangeView{Kind: kind, Keys: s.Keys, Tags: s.Tags, Prefixes: s.Prefixes, Globs: s.Globs, All: s.All}
}

// Text is the change on one line.
func (c ChangeView) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s", c.Kind)
	words := func(name string, all []string) {
		if len(all) == 0 {
			return
		}
		const most = 8
		shown := make([]string, 0, most)
		for _, s := range all[:min(most, len(all))] {
			shown = append(shown, Quote(s))
		}
		fmt.Fprintf(&b, " %s %s", name, strings.Join(shown, " "))
		if more := len(all) - most; more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
	}
	if c.Kind == "put" {
		words("key", c.Keys)
	} else {
		words("keys", c.Keys)
	}
	words("tags", c.Tags)
	words("prefixes", c.Prefixes)
	words("globs", c.Globs)
	field := func(set bool, format string, args ...any) {
		if set {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	field(c.All, "everything")
	field(c.Soft, "soft")
	if c.ValueBytes != nil {
		field(true, "%d bytes", *c.ValueBytes)
	} else {
		field(c.Kind == "put", "value not inline")
	}
	if c.Version != nil {
		field(true, "row version %d", *c.Version)
	}
	if c.Expires != nil {
		field(true, "until %s", c.Expires.Local().Format(time.DateTime))
	}
	field(c.Node != "", "%s #%d, applied %d", c.Node, c.Number, c.Applied)
	field(c.Leave, "leaves")
	field(c.Epoch != "", "%s", c.Epoch)
	field(c.Why != "", "(%s)", c.Why)
	field(c.Bracket != "", "bracket %s", c.Bracket)
	field(c.Cause != "", "because of %s", Quote(c.Cause))
	return b.String()
}

// Quote returns s as it is where a terminal shows it unharmed, and quoted
// otherwise: keys come from anywhere.
func Quote(s string) string {
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` || strings.Contains(s, " ") {
		return q
	}
	return s
}
