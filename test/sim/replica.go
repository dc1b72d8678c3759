package sim

import (
	"context"
	"slices"
	"strconv"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// lags reports whether the loader of key reads a replica that is behind (P3).
func (w *World) lags(key string) bool { return w.plan.lag > 0 && slices.Contains(w.plan.keys, key) }

// readReplica returns the version of key on a replica that the loader waits for
// until it has come as far as it must; where nobody knows how far, that of the
// primary.
func (w *World) readReplica(ctx context.Context, key string) int {
	text, known := node.RequiredSource(ctx)
	if !known {
		return w.origin.read(key)
	}
	least := 0
	if text != "" {
		var err error
		if least, err = strconv.Atoi(text); err != nil {
			w.violate("P3 lagging replica", "a loader of %s was told position %q", key, text)
		}
	}
	return w.origin.replica(key, w.plan.lag, least)
}

// source returns what a fence that is published now tells of the origin: the
// change that it follows stands there or before.
func (w *World) source() string {
	if w.plan.lag == 0 {
		return ""
	}
	return strconv.Itoa(w.origin.position())
}

// told returns the version of row that e demands of loads: the one at the
// position that its fences of the row tell. Where they tell none, a replica may
// not have seen yet what was committed before e; the fence of that is to come.
func (w *World) told(e *entry, row string) (version int) {
	for _, c := range e.changes {
		i, ok := c.(*events.Invalidate)
		if !ok || !i.Scope.Covers(row) && !slices.Contains(i.Scope.Tags, tagOf(row)) {
			continue
		}
		if position, err := strconv.Atoi(i.Source); err == nil {
			version = max(version, w.origin.upTo(row, position))
		}
	}
	if version > 0 {
		w.count.judged("P3 lagging replica")
	}
	return version
}
