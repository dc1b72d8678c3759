package sim

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// readBatch reads all rows in one batch, and keeps each answer for the judges
// as if it were a read of its own.
func (w *World) readBatch(m *machine, level consistency.Level) {
	p := m.process()
	if p == nil || p.pass(w.ctx) != nil {
		return
	}
	keys := append(append([]string{}, w.plan.keys...), w.plan.bracketed...)
	load := func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
		out := map[string]node.Loaded{}
		var mu sync.Mutex
		var failed error
		var all sync.WaitGroup
		for _, k := range keys {
			all.Go(func() {
				l, err := w.loader(p, k)(ctx, k)
				mu.Lock()
				defer mu.Unlock()
				out[k] = l
				failed = errors.Join(failed, err)
			})
		}
		all.Wait()
		return out, failed
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	start := w.trace.now()
	answers := p.node.GetMany(ctx, keys, node.BatchOptions{Level: level, Load: load})
	if p.pass(w.ctx) != nil || p.isDead() {
		return // nobody got the answers
	}
	end := w.trace.now()
	for _, a := range answers {
		r := w.newRead(p, m, a.Key, level)
		r.start, r.end = start, end
		w.answered(r, a.Result, a.Err)
	}
}

// readSoftly reads a row and takes what lies behind a soft fence where the
// origin fails, or while it is asked.
func (w *World) readSoftly(m *machine, key string, s step) {
	p := m.process()
	if p == nil || p.pass(w.ctx) != nil {
		return
	}
	o := node.ReadOptions{Level: w.levelOf(s), Fallback: node.WhileReloading, Load: w.loader(p, key)}
	if s.choice%2 == 0 {
		o.Fallback = node.IfOriginFails
		slow := o.Load
		o.Load = func(ctx context.Context, key string) (node.Loaded, error) {
			if slow == nil {
				return node.Loaded{}, errDown
			}
			l, err := slow(ctx, key) // it takes its time
			if !w.healed.Load() {
				return node.Loaded{}, errDown
			}
			return l, err // the last reads may share it
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	r := w.newRead(p, m, key, o.Level)
	r.soft, r.start = true, w.trace.now()
	got, err := p.node.Get(ctx, key, nil, o)
	if p.pass(w.ctx) != nil || p.isDead() {
		return
	}
	r.end = w.trace.now()
	w.answered(r, got, err)
}

var errDown = errors.New("sim: the origin is down")

func (w *World) newRead(p *process, m *machine, key string, level consistency.Level) *read {
	return &read{
		by: p, machine: m.name, restarted: p.restarted, key: key, level: level,
		rolledBack: w.rolledBack.Load(), late: w.lateCopies.Load(),
	}
}

// answered keeps the answer of r for the judges, if there is one.
func (w *World) answered(r *read, got node.Result, err error) {
	switch {
	case err == nil:
		if r.values, err = parse(got.Entry.Payload()); err != nil {
			w.violate("integrity", "%s: %v", r, err)
			return
		}
	case errors.Is(err, node.ErrNotFound) && got.Entry != nil:
		r.values = map[string]int{r.key: 0}
	case errors.Is(err, node.ErrNotFound):
		w.count.answer("miss")
		return
	default:
		w.count.answer("error")
		return
	}
	r.source, r.stale, r.epoch, r.birth = got.Source, got.Stale, got.Entry.Epoch(), got.Entry.Birth()
	w.count.answer(r.source.String())
	w.trace.add(r.machine, "%s", r)
	w.mu.Lock()
	w.reads = append(w.reads, r)
	w.mu.Unlock()
}

// judgeSoft holds a fallback against hard fences: it may lie behind soft ones
// (P29), but for a strong read, which may get what has expired only. In a domain that prefers answers it may be older for another
// reason.
func (w *World) judgeSoft(r *read) {
	strong := r.level.Kind() == consistency.KindStrong
	if strong && w.plan.policy.MaxStale == 0 {
		w.violate("P29 soft", "%s, a fallback", r)
	}
	if w.plan.settings.Policy == events.PolicyServe || w.lawless(r) {
		return
	}
	l := w.ledgers[node.Partition(r.key, len(w.ledgers))]
	for _, e := range l.entries {
		if e.soft() && !strong || !w.fences(e, r, r.key) {
			continue
		}
		if judge := w.due(e, r, l); judge != "" {
			w.count.judged("P29 soft: " + judge)
			w.hold(r, r.key, duty{e, "P29 soft: " + judge})
		}
	}
}

// soft reports whether e holds a soft fence: what it covers may serve as a
// fallback, whatever else of it is hard.
func (e *entry) soft() bool {
	for _, c := range e.changes {
		if i, ok := c.(*events.Invalidate); ok && i.Soft {
			return true
		}
	}
	return false
}
