package sim

import (
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// duty is a fence that a read had to respect, and by which guarantee.
type duty struct {
	e     *entry
	judge string
}

// judge looks at every read of the run.
func (w *World) judge() {
	for _, r := range w.reads {
		if r.soft && r.stale {
			w.judgeSoft(r)
			continue
		}
		if r.stale {
			w.count.judged("marked stale, not judged")
			continue
		}
		if w.lawless(r) {
			w.count.judged("log and witness lost, not judged")
			continue
		}
		w.judgeRead(r)
	}
}

// judgeRead holds one read against every fence that it had to respect.
func (w *World) judgeRead(r *read) {
	l := w.ledgers[node.Partition(r.key, len(w.ledgers))]
	w.count.judged("level " + r.level.Kind().String())
	for _, also := range []struct {
		yes  bool
		name string
	}{
		{r.rolledBack, "G6 after a tier was rolled back"},
		{r.restarted, "G7 on a restarted node"},
		{r.late, "G9 after a late copy"},
	} {
		if also.yes {
			w.count.judged(also.name)
		}
	}
	for _, e := range l.entries {
		for row := range r.values {
			if !w.fences(e, r, row) {
				continue
			}
			if r.key == w.plan.page && node.Partition(row, len(w.ledgers)) != l.index {
				continue // judgeElsewhere
			}
			if judge := w.due(e, r, l); judge != "" {
				w.count.judged(judge)
				w.hold(r, row, duty{e, judge})
			}
		}
	}
	w.judgeElsewhere(r, l)
	w.judgeBracket(r, l)
	w.judgeHistory(r, l)
}

// judgeElsewhere holds the rows of a page that lie in other partitions than the
// page against their own logs: one invalidation of several partitions lands in
// each at its own time. Such a page is made for the read that gets it, by reads
// within it at its level.
func (w *World) judgeElsewhere(r *read, home *ledger) {
	if r.key != w.plan.page {
		return
	}
	for row := range r.values {
		l := w.ledgers[node.Partition(row, len(w.ledgers))]
		if l == home {
			continue
		}
		for _, e := range l.entries {
			if !w.fences(e, r, row) {
				continue
			}
			if judge := w.due(e, r, l); judge != "" {
				w.count.judged("row of another partition: " + judge)
				w.hold(r, row, duty{e, judge})
			}
		}
	}
}

// fences reports whether e covers copies of r's key that hold row. A page dies
// with its rows by their tags only.
func (w *World) fences(e *entry, r *read, row string) bool {
	if r.key != w.plan.page {
		return e.covers(r.key, w.tagsOf(r.key))
	}
	return e.covers("", []string{tagOf(row)})
}

// hold checks that r's value of a row is not older than the fence.
func (w *World) hold(r *read, row string, d duty) {
	if !w.isRow(row) {
		w.holdRegister(r, row, d)
		return
	}
	// A copy that outlives the fence was loaded after it landed, so that it
	// holds what had been committed then.
	want := w.origin.at(row, d.e.at)
	if w.lags(row) {
		want = w.told(d.e, row)
	}
	if r.values[row] < want {
		w.violate(d.judge, "%s, older than version %d, which was fenced by the record at %d, landed at %.6f",
			r, want, d.e.position, d.e.at.Seconds())
	}
}

// holdRegister does the same for values that live in the log: the value must
// have been put behind the fence, or by it.
func (w *World) holdRegister(r *read, row string, d duty) {
	x := w.puts[r.values[row]]
	if x == nil {
		w.violate("integrity", "%s, which nobody put", r)
		return
	}
	l := w.ledgers[x.part]
	landed := -1
	for _, e := range l.entries {
		if w.carries(e, x) {
			landed = max(landed, e.order)
		}
	}
	if landed < 0 {
		w.count.judged("value of unknown record, not judged")
		return
	}
	if d.e.order <= landed {
		return
	}
	for _, c := range d.e.changes {
		if c, ok := c.(*events.Put); ok && c.Version.Known && x.version.Known && c.Version.N < x.version.N {
			return // it lost to x
		}
	}
	w.violate(d.judge, "%s, put at order %d, before the record at %d (order %d), landed at %.6f",
		r, landed, d.e.position, d.e.order, d.e.at.Seconds())
}

// carries reports whether e is x's record.
func (w *World) carries(e *entry, x *put) bool {
	for _, c := range e.changes {
		c, ok := c.(*events.Put)
		if !ok {
			continue
		}
		if len(c.Entry) == 0 {
			if x.point.Position == e.position && x.point.Epoch == e.epoch {
				return true
			}
			continue
		}
		if v, err := valueOf(c.Entry); err == nil && v[c.Key] == x.id {
			return true
		}
	}
	return false
}

// due returns the guarantee by which r had to respect e; "" for none.
func (w *World) due(e *entry, r *read, l *ledger) string {
	if e.lost <= r.end && !e.witnessed {
		return "" // nobody can know of it any more
	}
	for _, c := range w.everywhere {
		if c.partition == l.index && c.of(e) && e.at <= c.returned && c.returned < r.start && e.lost > c.returned && !(w.plan.history == told && w.unpromised(c.by, l, c.begun, c.returned)) {
			return "G5 everywhere"
		}
	}
	bound := r.level.Bound(lease)
	slack := time.Duration(0)
	if bound < lease {
		slack = clock.Resolution
	}
	if e.at < r.start-w.slowest(bound)-slack-time.Microsecond {
		return "G3 bounded"
	}
	switch r.level.Kind() {
	case consistency.KindStrong:
		if e.at < r.start {
			return "G4 strong"
		}
	case consistency.KindSession:
		t := r.level.Token().At(l.index)
		if e.lost > r.end && t.Position >= e.position && e.at < r.since && !l.brokenBetween(0, r.end) {
			return "G2 session"
		}
	}
	return ""
}

// of reports whether e is the record that was confirmed. Of two that one epoch
// had at the same place, because the log lost the first, it is taken for the
// first: whose the second is can't be told.
func (c *confirmed) of(e *entry) bool {
	return c.position == e.position && (c.epoch == e.epoch || c.epoch == 0) && !e.again
}

// slowest is how long d takes on the slowest clock that the domain allows.
func (w *World) slowest(d time.Duration) time.Duration {
	const million = 1_000_000
	return d + d/1000*time.Duration(w.plan.settings.DriftPPM)/(million-time.Duration(w.plan.settings.DriftPPM))*1000 + time.Microsecond
}

// judgeBracket holds reads of rows that are written under brackets against
// the origin itself (G4b).
func (w *World) judgeBracket(r *read, l *ledger) {
	row := w.plan.bracketed[0]
	if r.key != row || l.brokenBetween(0, r.end) {
		return
	}
	if l.openInAHole(row, r.end) {
		w.count.judged("bracket begun in a hole, not judged")
		return
	}
	w.count.judged("G4b bracketed")
	if want := w.origin.at(row, r.start); r.values[row] < want {
		w.violate("G4b bracketed", "%s, though version %d was committed before", r, want)
	}
}

// judgeHistory checks that nothing of a history that is over is served a
// lease after it ended (G8).
func (w *World) judgeHistory(r *read, l *ledger) {
	if r.source == node.FromOrigin {
		return // loaded now, whatever position the node had come to then
	}
	for i, b := range l.breaks {
		if r.start < b+w.slowest(lease)+time.Microsecond || !l.witnessedBreak(i) {
			continue
		}
		w.count.judged("G8 history")
		if w.plan.history == told {
			w.count.judged("G8 by what the members were told")
		}
		for _, e := range l.entries {
			if e.opens && e.at <= b && e.epoch == r.epoch && !l.reopened(e, b) {
				w.violate("G8 history", "%s, of an epoch that was over at %.6f", r, b.Seconds())
			}
		}
	}
}

// lawless reports whether r was read while nothing is promised.
func (w *World) lawless(r *read) bool {
	parts := []*ledger{w.ledgers[node.Partition(r.key, len(w.ledgers))]}
	if r.key == w.plan.page {
		parts = w.ledgers
	}
	return slices.ContainsFunc(parts, func(l *ledger) bool { return w.unpromised(r.by, l, r.start, r.end) })
}

// unpromised reports whether nothing is promised to what p does in that time:
// the log has lost records and no witness is left, or none that p was told of,
// until a new epoch has been in force for a lease.
func (w *World) unpromised(p *process, l *ledger, start, end time.Duration) bool {
	for i, b := range l.breaks {
		switch {
		case end < b:
			continue
		case w.plan.history == unwitnessed:
		case w.plan.history == told && l.losses[i].unpromised(p, l, end):
		default:
			continue
		}
		if at, ok := l.epochAfter(b); !ok || start < at+w.slowest(lease)+time.Second {
			return true
		}
	}
	return false
}

// unbracketed reports whether the log lost, unwitnessed, the intent of a bracket
// of key that was open then: nobody is left to end it for a writer that does not
// (G4b).
func (w *World) unbracketed(key string) bool {
	l := w.ledgers[node.Partition(key, len(w.ledgers))]
	return slices.Contains(w.plan.bracketed, key) && slices.ContainsFunc(l.entries, func(e *entry) bool {
		return e.lost != forever && !e.witnessed && slices.ContainsFunc(e.changes, func(c events.Change) bool {
			i, ok := c.(*events.Intent)
			return ok && i.Scope.Covers(key) && !l.ended(i.Bracket, e.lost)
		})
	})
}

// ended reports whether an end of the bracket landed before at.
func (l *ledger) ended(id events.BracketID, at time.Duration) bool {
	return slices.ContainsFunc(l.entries, func(e *entry) bool {
		return e.at < at && slices.ContainsFunc(e.changes, func(c events.Change) bool {
			end, ok := c.(*events.End)
			return ok && end.Bracket == id
		})
	})
}

// settledHistory reports whether row's partition promises convergence: its log
// has lost nothing, or a witness survived, or a new epoch was opened.
func (w *World) settledHistory(row string) bool {
	l := w.ledgers[node.Partition(row, len(w.ledgers))]
	if w.plan.history != unwitnessed && w.plan.history != told {
		return true
	}
	l.take()
	for i, b := range l.breaks {
		if w.plan.history == told && l.losses[i].forgotten == forever && l.losses[i].highest != (node.Testimony{}) {
			continue
		}
		if at, ok := l.epochAfter(b); !ok || at > w.trace.now()-2*lease {
			return false
		}
	}
	return true
}
