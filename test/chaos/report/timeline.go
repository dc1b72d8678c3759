package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/history"
)

// buckets is how many points a line has at most.
const buckets = 280

// timeline draws the faults above latency, failures, age and service. ages are
// those of the operations.
func timeline(c *judge.Case, ages []time.Duration) template.HTML {
	d := &drawing{length: max(c.Ended, time.Second)}
	d.heading("faults")
	for _, f := range c.Faults {
		color := "var(--warn)"
		switch {
		case f.Missing != "":
			color = "var(--line)"
		case f.History:
			color = "var(--b)"
		}
		d.text(left-6, d.y+10, "end", "", f.Kind)
		d.bar(f.At, max(f.At, f.Until), 11, color, f.Kind+" "+f.Target+": "+f.What)
		d.text(min(d.x(max(f.At, f.Until))+5, width-120), d.y+10, "start", "", f.Target)
		d.y += 15
	}
	if len(c.Epochs) > 0 {
		d.text(left-6, d.y+10, "end", "", "epoch")
		for _, e := range c.Epochs {
			d.bar(e.At, e.At, 11, "var(--b)", fmt.Sprintf("epoch %v: %s", e.ID, e.Why))
		}
		d.y += 15
	}
	g := gather(c, ages, d.length)
	d.heading("latency of what was answered")
	d.chart(110, true, tellMillis,
		series{"reads, middle", "var(--a)", g.at, quantiles(g.reads, 0.5)}, series{"reads, 99 of 100", "var(--b)", g.at, quantiles(g.reads, 0.99)},
		series{"writes, 99 of 100", "var(--warn)", g.at, quantiles(g.writes, 0.99)})
	d.heading("operations in a second")
	d.chart(70, false, func(v float64) string { return fmt.Sprintf("%.0f", v) },
		series{"answered", "var(--good)", g.at, g.served}, series{"not", "var(--bad)", g.at, g.failed})
	d.heading("age of the oldest answer: for how long its value had been dead")
	d.chart(70, false, tellMillis, series{"eventual, session", "var(--a)", g.at, g.weak}, series{"bounded", "var(--b)", g.at, g.bounded}, series{"strong", "var(--bad)", g.at, g.strong})
	d.heading("service")
	for _, s := range judge.Services {
		g.service(d, c, s)
	}
	d.axis()
	return template.HTML(d.svg())
}

func tellMillis(v float64) string {
	return time.Duration(v * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
}

// gathered is what happened in each bucket of time.
type gathered struct {
	at            []time.Duration
	step          time.Duration
	reads, writes [][]float64 // latencies in milliseconds
	served        []float64
	failed        []float64
	// Ages in milliseconds.
	weak, bounded, strong []float64
}

func gather(c *judge.Case, ages []time.Duration, length time.Duration) *gathered {
	n := min(buckets, max(1, int(length/(250*time.Millisecond))))
	g := &gathered{
		step: length / time.Duration(n), at: make([]time.Duration, n), reads: make([][]float64, n), writes: make([][]float64, n),
		served: make([]float64, n), failed: make([]float64, n), weak: make([]float64, n), bounded: make([]float64, n), strong: make([]float64, n),
	}
	for i := range g.at {
		g.at[i] = g.step*time.Duration(i) + g.step/2
	}
	for i, o := range c.Ops {
		if o.Kind == history.Query {
			continue
		}
		b := g.bucket(time.Duration(o.Call))
		if !judge.Served(o) {
			g.failed[b] += 1 / g.step.Seconds()
			continue
		}
		g.served[b] += 1 / g.step.Seconds()
		took := float64(o.Return-o.Call) / 1e6
		if o.Kind != history.Read {
			g.writes[b] = append(g.writes[b], took)
			continue
		}
		g.reads[b] = append(g.reads[b], took)
		age := float64(ages[i]) / 1e6
		switch o.Level {
		case "strong":
			g.strong[b] = max(g.strong[b], age)
		case "bounded":
			g.bounded[b] = max(g.bounded[b], age)
		default:
			g.weak[b] = max(g.weak[b], age)
		}
	}
	return g
}

func (g *gathered) bucket(at time.Duration) int {
	return min(len(g.at)-1, max(0, int(at/g.step)))
}

func quantiles(all [][]float64, q float64) []float64 {
	out := make([]float64, len(all))
	for i, v := range all {
		if out[i] = math.NaN(); len(v) > 0 {
			slices.Sort(v)
			out[i] = v[int(q*float64(len(v)-1))]
		}
	}
	return out
}

// service draws which part of those who asked was served: green all, red nobody.
func (g *gathered) service(d *drawing, c *judge.Case, service string) {
	served, asked := make([]int, len(g.at)), make([]int, len(g.at))
	some := false
	for _, o := range c.Ops {
		if judge.Service(o) == service {
			b := g.bucket(time.Duration(o.Call))
			asked[b]++
			if judge.Served(o) {
				served[b]++
			}
			some = true
		}
	}
	if !some {
		return
	}
	d.text(left-6, d.y+10, "end", "", service)
	d.put(`<rect x="%d" y="%.1f" width="%d" height="11" fill="var(--soft)"/>`, left, d.y, width-left-right)
	for i := 0; i < len(g.at); {
		if asked[i] == 0 {
			i++
			continue
		}
		color := share(served[i], asked[i])
		from, s, a := i, 0, 0
		for ; i < len(g.at) && asked[i] > 0 && share(served[i], asked[i]) == color; i++ {
			s, a = s+served[i], a+asked[i]
		}
		d.bar(g.step*time.Duration(from), g.step*time.Duration(i), 11, color, fmt.Sprintf("%s: %d of %d served", service, s, a))
	}
	d.y += 15
}

func share(served, asked int) string {
	switch {
	case served == asked:
		return "var(--good)"
	case served == 0:
		return "var(--bad)"
	}
	return "var(--warn)"
}

// resources draws memory, files and goroutines, a line for each life of a process.
func resources(c *judge.Case) template.HTML {
	type life struct {
		name string
		pid  int
	}
	var order []life
	lives := map[life]int{}
	for _, s := range c.Samples {
		l := life{s.Name, s.Pid}
		if _, ok := lives[l]; !ok {
			lives[l] = len(order)
			order = append(order, l)
		}
	}
	if len(order) == 0 {
		return `<p class="idle">nobody was watched</p>`
	}
	names := map[string]string{}
	d := &drawing{length: max(c.Ended, time.Second)}
	draw := func(what string, unit func(float64) string, figure func(i int) float64) {
		all := make([]series, len(order))
		for i, l := range order {
			if names[l.name] == "" {
				names[l.name] = fmt.Sprintf("hsl(%d 60%% 55%%)", len(names)*47%360)
			}
			all[i] = series{color: names[l.name]}
		}
		for i, s := range c.Samples {
			if v := figure(i); v > 0 {
				a := &all[lives[life{s.Name, s.Pid}]]
				a.at, a.y = append(a.at, s.At), append(a.y, v)
			}
		}
		d.heading(what)
		d.lines(90, unit, all)
	}
	number := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	draw("memory (RSS)", func(v float64) string { return fmt.Sprintf("%.0f MiB", v) }, func(i int) float64 { return float64(c.Samples[i].RSS) / (1 << 20) })
	draw("open files", number, func(i int) float64 { return float64(c.Samples[i].Files) })
	draw("goroutines", number, func(i int) float64 { return float64(c.Samples[i].Goroutines) })
	d.axis()
	x := float64(left)
	var seen []string
	for _, l := range order {
		if slices.Contains(seen, l.name) {
			continue
		}
		seen = append(seen, l.name)
		if x > width-140 {
			x, d.y = left, d.y+16
		}
		d.put(`<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`, x, d.y+8, names[l.name])
		d.text(x+8, d.y+12, "start", "", l.name)
		x += float64(24 + 7*len(l.name))
	}
	d.y += 18
	return template.HTML(d.svg())
}

// lines is a chart without a legend of its own.
func (d *drawing) lines(height float64, unit func(float64) string, all []series) {
	var with []series
	for _, s := range all {
		if len(s.y) > 0 {
			with = append(with, s)
		}
	}
	d.quiet = true
	d.chart(height, false, unit, with...)
	d.quiet = false
}
