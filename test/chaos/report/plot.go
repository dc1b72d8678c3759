package report

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"
)

// The page's drawing area, in units of the SVG.
const (
	width = 1120
	left  = 150 // of the axis
	right = 20
)

// drawing gathers rows from top to bottom that share an axis of time.
type drawing struct {
	b      strings.Builder
	y      float64
	length time.Duration
	// quiet: charts have no legend.
	quiet bool
}

func (d *drawing) x(at time.Duration) float64 {
	return left + (width-left-right)*min(1, max(0, at.Seconds()/max(d.length.Seconds(), 1e-9)))
}

func (d *drawing) put(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

// text writes a label. It may hold anything.
func (d *drawing) text(x, y float64, anchor, class, s string) {
	d.put(`<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(s))
}

func (d *drawing) heading(s string) {
	d.y += 26
	d.text(0, d.y-8, "start", "name", s)
}

// bar marks a span of the row.
func (d *drawing) bar(from, to time.Duration, height float64, color, title string) {
	x := d.x(from)
	d.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" rx="2"><title>%s</title></rect>`,
		x, d.y, max(2, d.x(to)-x), height, color, html.EscapeString(title))
}

// axis ends the drawing with the time below.
func (d *drawing) axis() {
	d.y += 6
	step := niceStep(d.length.Seconds() / 10)
	for t := 0.0; t <= d.length.Seconds(); t += step {
		x := d.x(time.Duration(t * float64(time.Second)))
		d.put(`<line x1="%.1f" x2="%.1f" y1="0" y2="%.1f" stroke="var(--line)" stroke-width=".5"/>`, x, x, d.y)
		d.text(x, d.y+14, "middle", "", fmt.Sprintf("%g s", t))
	}
	d.y += 22
}

// niceStep rounds up to one, two or five times a power of ten.
func niceStep(least float64) float64 {
	if least <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*p >= least {
			return m * p
		}
	}
	return 10 * p
}

// series is one line of a chart; NaN leaves a gap.
type series struct {
	name, color string
	at          []time.Duration
	y           []float64
}

// chart draws lines over each other. log makes its scale logarithmic; unit tells
// of a value.
func (d *drawing) chart(height float64, log bool, unit func(float64) string, all ...series) {
	low, high := math.Inf(1), 0.0
	for _, s := range all {
		for _, v := range s.y {
			if math.IsNaN(v) {
				continue
			}
			high = max(high, v)
			if v > 0 {
				low = min(low, v)
			}
		}
	}
	if high == 0 {
		high, low = 1, 1
	}
	scale := func(v float64) float64 {
		if !log {
			return v / high
		}
		if low == high {
			return 0.5
		}
		return (math.Log(max(v, low)) - math.Log(low)) / (math.Log(high) - math.Log(low))
	}
	bottom := d.y + height
	d.put(`<rect x="%d" y="%.1f" width="%d" height="%.1f" fill="var(--soft)"/>`, left, d.y, width-left-right, height)
	d.text(left-6, d.y+10, "end", "", unit(high))
	if log {
		d.text(left-6, bottom, "end", "", unit(low))
	} else {
		d.text(left-6, bottom, "end", "", "0")
	}
	for i, s := range all {
		d.put(`<path fill="none" stroke="%s" stroke-width="1.4" d="`, s.color)
		pen := "M"
		for j, v := range s.y {
			if math.IsNaN(v) {
				pen = "M"
				continue
			}
			d.put("%s%.1f %.1f", pen, d.x(s.at[j]), bottom-(height-4)*scale(v))
			pen = "L"
		}
		d.put(`"/>`)
		if d.quiet {
			continue
		}
		d.put(`<circle cx="4" cy="%.1f" r="3.5" fill="%s"/>`, d.y+float64(14+15*i), s.color)
		d.text(12, d.y+float64(18+15*i), "start", "", s.name)
	}
	d.y = bottom
}

func (d *drawing) svg() string {
	return fmt.Sprintf(`<svg viewBox="0 0 %d %.0f" role="img">%s</svg>`, width, d.y+4, d.b.String())
}
