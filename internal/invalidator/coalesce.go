package invalidator

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// windows gather the fences of several events for a while, so that they land as
// one record, and a name that many events clear is in it once. An event is done
// only when the record that holds its fences is in the log.
type windows struct {
	ctx    context.Context // that of the records: longer than any event's
	record func(ctx context.Context, g *group, fences []*events.Invalidate) error
	landed func() // counts a record

	mu      sync.Mutex
	open    map[windowKey]*window
	running sync.WaitGroup
}

// windowKey says which fences may share a record.
type windowKey struct {
	domain     string
	wait       time.Duration
	everywhere bool
}

type window struct {
	fences []*events.Invalidate
	size   int // names
	done   chan struct{}
	err    error // set before done is closed
}

// fullWindow is how many names end a window early: twice that fit into a record.
const fullWindow = 4096

func newWindows(ctx context.Context, record func(context.Context, *group, []*events.Invalidate) error, landed func()) *windows {
	return &windows{ctx: ctx, record: record, landed: landed, open: map[windowKey]*window{}}
}

// land puts g's fences into the open window, or opens one, and waits until its
// record has landed.
func (w *windows) land(ctx context.Context, g *group) error {
	key := windowKey{g.domain, g.coalesce, g.everywhere}
	w.mu.Lock()
	x := w.open[key]
	if x == nil {
		x = &window{done: make(chan struct{})}
		w.open[key] = x
		w.running.Add(1)
		time.AfterFunc(g.coalesce, func() { w.flush(key, x) })
	}
	for _, f := range g.fences {
		x.add(f)
	}
	full := x.size >= fullWindow
	if full {
		delete(w.open, key) // its timer lands it in time; newcomers have the next
	}
	w.mu.Unlock()
	if full {
		go w.flush(key, x)
	}
	if mutant.On(mutant.CoalescedAckedEarly) {
		return nil
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if x.err == nil || mendable([]error{x.err}) != nil {
		return x.err
	}
	// One fence that the log refuses must not take the others' with it.
	return w.record(ctx, g, g.fences)
}

// flush lands a window, the first time that it is called for it.
func (w *windows) flush(key windowKey, x *window) {
	w.mu.Lock()
	if w.open[key] == x {
		delete(w.open, key)
	}
	fences := x.fences
	x.fences = nil
	w.mu.Unlock()
	if fences == nil {
		return
	}
	defer w.running.Done()
	x.err = w.record(w.ctx, &group{domain: key.domain, everywhere: key.everywhere}, fences)
	if x.err == nil {
		w.landed()
	}
	close(x.done)
}

// wait returns when every window has landed or failed.
func (w *windows) wait() { w.running.Wait() }

// add merges a fence into one of the same kind. The record then names the cause
// of the first of them.
func (x *window) add(f *events.Invalidate) {
	names := 0
	for _, ns := range [][]string{f.Scope.Keys, f.Scope.Tags, f.Scope.Prefixes, f.Scope.Globs} {
		names += len(ns)
	}
	x.size += max(names, 1)
	for _, have := range x.fences {
		// Positions of the source can't be compared here, so only equal ones merge.
		if have.Soft == f.Soft && have.Source == f.Source && len(have.Scope.Keys)+names < fullWindow {
			merge(&have.Scope, &f.Scope)
			return
		}
	}
	own := *f // what others also hold is not written to
	own.Scope = events.Scope{All: f.Scope.All}
	merge(&own.Scope, &f.Scope)
	x.fences = append(x.fences, &own)
}

// merge adds src's names to dst's, each once.
func merge(dst, src *events.Scope) {
	for _, of := range []struct{ dst, src *[]string }{
		{&dst.Keys, &src.Keys}, {&dst.Tags, &src.Tags}, {&dst.Prefixes, &src.Prefixes}, {&dst.Globs, &src.Globs},
	} {
		for _, name := range *of.src {
			if at, found := slices.BinarySearch(*of.dst, name); !found {
				*of.dst = slices.Insert(*of.dst, at, name)
			}
		}
	}
	dst.All = dst.All || src.All
}
