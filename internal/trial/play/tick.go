package play

import (
	"context"
	"time"
)

// tick prints a row each second until ctx ends.
func (p *player) tick(ctx context.Context) {
	const every = time.Second
	t := time.NewTicker(every)
	defer t.Stop()
	last, then := p.sourcesNow(), time.Now()
	reads, measured := p.tally.reads.Load(), 0
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		_, fences, took := p.Arrivals.counts(measured)
		measured += len(took)
		r := row{
			day: p.day(), events: p.tally.events.Load(), fences: fences,
			p50: quantile(took, 0.5), p99: quantile(took, 0.99),
			stale: p.tally.stale.Load() + p.tally.wrong.Load(),
		}
		total := p.tally.reads.Load()
		r.reads = float64(total-reads) / now.Sub(then).Seconds()
		sources := p.sourcesNow()
		for i := range sources {
			r.from[i] = sources[i] - last[i]
		}
		last, then, reads = sources, now, total
		p.Show.row(r)
	}
}

// day is the workload's date, if it has a calendar.
func (p *player) day() string {
	if p.Workload.Start.IsZero() {
		return "-"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Workload.Start.Add(p.at).Format("Jan 2")
}
