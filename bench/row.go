package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// unit is what a row's figures count.
type unit string

const (
	nanoseconds unit = "ns" // per operation or a percentile: less is better
	perSecond   unit = "/s" // more is better
	size        unit = "bytes"
	count       unit = "each" // told, not judged
	points      unit = "pt"   // of a hit ratio in percent
)

// row is one line of the result.
type row struct {
	Part string  `json:"part"`
	Name string  `json:"name"`
	Unit unit    `json:"unit"`
	Raw  float64 `json:"raw,omitempty"`
	Ours float64 `json:"ours"`
	// Ratio is ours to raw, the median over the rounds; RatioLow and RatioHigh
	// are the rounds' quartiles.
	Ratio     float64 `json:"ratio,omitempty"`
	RatioLow  float64 `json:"ratio_low,omitempty"`
	RatioHigh float64 `json:"ratio_high,omitempty"`
	Rounds    int     `json:"rounds,omitempty"`
	// Target is what the ratio must keep: at most, or for rates at least. 0:
	// the row is told, not judged. Aim is the next one worth reaching for.
	Target float64 `json:"target,omitempty"`
	Aim    float64 `json:"aim,omitempty"`
	// RawAllocs and OurAllocs are allocations per operation where they are
	// measured; MaxAllocs is how many of ours the target allows.
	RawAllocs *float64 `json:"raw_allocs,omitempty"`
	OurAllocs *float64 `json:"our_allocs,omitempty"`
	MaxAllocs *float64 `json:"max_allocs,omitempty"`
	// Least and Most bound Ours where it is judged by itself.
	Least *float64 `json:"least,omitempty"`
	Most  *float64 `json:"most,omitempty"`
	Pass  bool     `json:"pass"`
	Note  string   `json:"note,omitempty"`
}

// of returns the row with what was measured.
func (r row) of(p paired) row {
	r.Raw, r.Ours, r.Ratio, r.RatioLow, r.RatioHigh, r.Rounds = p.raw, p.ours, p.ratio, p.low, p.high, p.rounds
	return r
}

// allocs returns the row with allocations per operation.
func (r row) allocs(raw, ours, most float64) row {
	r.RawAllocs, r.OurAllocs, r.MaxAllocs = &raw, &ours, &most
	return r
}

// judged returns the row with its verdict.
func (r row) judged() row {
	r.Pass = r.Target == 0 || r.keeps(r.Target)
	if r.MaxAllocs != nil && *r.OurAllocs > *r.MaxAllocs {
		r.Pass = false
	}
	if r.Least != nil && r.Ours < *r.Least || r.Most != nil && r.Ours > *r.Most {
		r.Pass = false
	}
	return r
}

func (r row) keeps(bound float64) bool {
	if r.Unit == perSecond {
		return r.Ratio >= bound
	}
	return r.Ratio <= bound
}

func (r row) mark() string {
	switch {
	case !r.Pass:
		return "MISS"
	case r.Target == 0 && r.Least == nil && r.Most == nil:
		return "-"
	case r.Aim != 0 && r.keeps(r.Aim):
		return "aim"
	}
	return "ok"
}

// result is a whole run, as -json writes it.
type result struct {
	Facts facts `json:"facts"`
	Rows  []row `json:"rows"`
	// Hits are the hit ratios of part hits.
	Hits []hitRow `json:"hits,omitempty"`
}

func (r result) missed() int {
	n := 0
	for _, row := range r.Rows {
		if !row.Pass {
			n++
		}
	}
	return n
}

func (r result) writeJSON(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func (r result) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "part\twhat\traw\tours\tratio\t(quartiles)\ttarget\taim\t\tallocs raw, ours\t")
	for _, x := range r.Rows {
		ratio, spread, target, aim, allocs, raw := "", "", "", "", "", ""
		if x.Rounds > 0 {
			ratio, spread = fmt.Sprintf("%.2f", x.Ratio), fmt.Sprintf("(%.2f-%.2f)", x.RatioLow, x.RatioHigh)
			raw = x.Unit.format(x.Raw)
		}
		sign := "<="
		if x.Unit == perSecond {
			sign = ">="
		}
		if x.Target != 0 {
			target = fmt.Sprintf("%s%.2f", sign, x.Target)
		}
		switch {
		case x.Least != nil:
			target = ">=" + x.Unit.format(*x.Least)
		case x.Most != nil:
			target = "<=" + x.Unit.format(*x.Most)
		}
		if x.Aim != 0 {
			aim = fmt.Sprintf("%.2f", x.Aim)
		}
		if x.OurAllocs != nil {
			allocs = fmt.Sprintf("%.0f, %.0f", *x.RawAllocs, *x.OurAllocs)
		}
		name := x.Name
		if x.Note != "" {
			name += " [" + x.Note + "]"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			x.Part, name, raw, x.Unit.format(x.Ours), ratio, spread, target, aim, x.mark(), allocs)
	}
	_ = t.Flush() // a terminal that is gone has nobody before it
}

func (u unit) format(v float64) string {
	switch u {
	case nanoseconds:
		d := time.Duration(v)
		switch {
		case d < 10*time.Microsecond:
			return fmt.Sprintf("%.0f ns", v)
		case d < 10*time.Millisecond:
			return fmt.Sprintf("%.1f us", v/1e3)
		}
		return fmt.Sprintf("%.1f ms", v/1e6)
	case size:
		return fmt.Sprintf("%.0f MiB", v/(1<<20))
	case perSecond:
		return fmt.Sprintf("%.0f/s", v)
	}
	if u == points {
		return fmt.Sprintf("%.2f", v)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}
