package coherence

import (
	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// appendState2 appends what version 2 of the state added: who opened each
// bracket, and the origin's positions.
func (w *World) appendState2(b []byte) []byte {
	b = msgp.AppendArrayHeader(b, uint32(len(w.brackets)))
	for _, x := range w.brackets {
		b = msgp.AppendBytes(b, x.ID[:])
		b = msgp.AppendInt64(b, x.Opened)
		b = msgp.AppendString(b, string(x.Writer))
		b = msgp.AppendString(b, x.Decider)
	}
	b = msgp.AppendString(b, w.sources.floor)
	b = msgp.AppendArrayHeader(b, uint32(len(w.sources.recent)))
	for i := range w.sources.recent {
		s := &w.sources.recent[i]
		b = msgp.AppendString(b, s.source)
		b = appendStrings(b, s.scope.Keys)
		b = appendStrings(b, s.scope.Tags)
		b = appendStrings(b, s.scope.Prefixes)
		b = appendStrings(b, s.scope.Globs)
		b = msgp.AppendBool(b, s.scope.All)
	}
	return b
}

func (w *World) restoreState2(r *reader) {
	for range r.count() {
		var id events.BracketID
		r.fixed(id[:])
		opened, writer, decider := r.int(), events.NodeID(r.string()), r.string()
		if x, open := w.brackets[id]; open {
			x.Opened, x.Writer, x.Decider = opened, writer, decider
			w.brackets[id] = x
		}
	}
	floor := r.string()
	var recent []sourced
	for range r.count() {
		recent = append(recent, sourced{source: r.string(), scope: events.Scope{
			Keys: r.strings(), Tags: r.strings(), Prefixes: r.strings(), Globs: r.strings(), All: r.bool()}})
	}
	if !mutant.On(mutant.SourcesForgotten) {
		w.sources = sources{recent: recent, floor: floor}
	}
}
