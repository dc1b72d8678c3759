package coherence

import (
	"errors"
	"fmt"
	"iter"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// stateVersion is the first byte of an encoded state. Version 1, which is read
// too, ends with the brackets, version 2 with the origin's positions.
const stateVersion = 3

// ErrState reports an encoded state that can't be used: of another version, or
// damaged. The node then starts as one that has applied nothing.
var ErrState = errors.New("unusable checkpoint state")

// AppendState appends everything but the broad fences, which are kept one by
// one, to dst.
func (w *World) AppendState(dst []byte) []byte {
	b := append(dst, stateVersion)
	b = msgp.AppendUint64(b, uint64(w.epoch))
	b = msgp.AppendArrayHeader(b, uint32(len(w.former)))
	for _, f := range w.former {
		b = msgp.AppendUint64(b, uint64(f))
	}
	b = msgp.AppendUint64(b, uint64(w.last.Position))
	b = msgp.AppendBytes(b, w.last.ID.Publisher[:])
	b = msgp.AppendUint64(b, w.last.ID.Counter)
	b = msgp.AppendInt64(b, w.last.Time)
	b = msgp.AppendBytes(b, w.digest[:])
	b = msgp.AppendBool(b, w.anchored)
	b = msgp.AppendUint64(b, uint64(w.horizon))
	b = msgp.AppendBool(b, w.settled)
	b = msgp.AppendBool(b, w.diverged != nil)
	if w.diverged != nil {
		b = msgp.AppendUint64(b, uint64(w.diverged.At))
		b = msgp.AppendString(b, w.diverged.Evidence)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(w.members)))
	for _, m := range w.members {
		b = msgp.AppendString(b, string(m.Node))
		b = msgp.AppendBytes(b, m.Incarnation[:])
		b = msgp.AppendUint64(b, uint64(m.First))
		b = msgp.AppendUint64(b, uint64(m.Pulse))
		b = msgp.AppendUint64(b, m.Number)
		b = msgp.AppendUint64(b, uint64(m.Applied))
		b = msgp.AppendBytes(b, m.Digest[:])
		b = appendStrings(b, m.Addresses)
		b = msgp.AppendUint32(b, m.Weight)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(w.brackets)))
	for _, x := range w.brackets {
		b = msgp.AppendBytes(b, x.ID[:])
		b = msgp.AppendUint64(b, uint64(x.Since))
		b = msgp.AppendInt64(b, x.Deadline)
		b = msgp.AppendInt64(b, x.Logged)
		b = appendStrings(b, x.Scope.Keys)
		b = appendStrings(b, x.Scope.Tags)
		b = appendStrings(b, x.Scope.Prefixes)
		b = appendStrings(b, x.Scope.Globs)
		b = msgp.AppendBool(b, x.Scope.All)
	}
	return msgp.AppendInt64(w.appendState2(b), w.begun)
}

func appendStrings(b []byte, ss []string) []byte {
	b = msgp.AppendArrayHeader(b, uint32(len(ss)))
	for _, s := range ss {
		b = msgp.AppendString(b, s)
	}
	return b
}

// Restore rebuilds a World from what [World.AppendState] wrote and the broad
// fences that were kept with it. Every error wraps [ErrState].
func Restore(state []byte, broad iter.Seq[BroadFence]) (*World, error) {
	w := New()
	r := reader{b: state}
	version := r.version()
	if version == 0 || version > stateVersion {
		return nil, fmt.Errorf("%w: version %d, this build knows 1 to %d", ErrState, version, stateVersion)
	}
	w.epoch = events.Epoch(r.uint())
	for range r.count() {
		w.former = append(w.former, events.Epoch(r.uint()))
	}
	w.last.Position = events.Position(r.uint())
	r.fixed(w.last.ID.Publisher[:])
	w.last.ID.Counter = r.uint()
	w.last.Time = r.int()
	r.fixed(w.digest[:])
	w.anchored = r.bool()
	if h := events.Position(r.uint()); !mutant.On(mutant.RestoredHorizonForgotten) {
		w.horizon = h
	}
	w.settled = r.bool()
	if r.bool() {
		w.diverged = &events.HistoryError{At: events.Position(r.uint()), Evidence: r.string()}
	}
	for range r.count() {
		m := Member{Node: events.NodeID(r.string())}
		r.fixed(m.Incarnation[:])
		m.First = events.Position(r.uint())
		m.Pulse = events.Position(r.uint())
		m.Number = r.uint()
		m.Applied = events.Position(r.uint())
		r.fixed(m.Digest[:])
		m.Addresses = r.strings()
		m.Weight = uint32(r.uint())
		w.members[m.Incarnation] = m
	}
	for range r.count() {
		var x Bracket
		r.fixed(x.ID[:])
		x.Since = events.Position(r.uint())
		x.Deadline = r.int()
		x.Logged = r.int()
		x.Scope = events.Scope{Keys: r.strings(), Tags: r.strings(), Prefixes: r.strings(), Globs: r.strings(), All: r.bool()}
		if !mutant.On(mutant.BracketsForgotten) {
			w.brackets[x.ID] = x
		}
	}
	if version >= 2 {
		w.restoreState2(&r)
	}
	if version >= 3 {
		w.begun = r.int()
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: %v", ErrState, r.err)
	}
	if len(r.b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes behind its end", ErrState, len(r.b))
	}
	w.newest = w.horizon
	w.recent.push(w.last.Position, w.digest)
	for f := range broad {
		if mutant.On(mutant.BroadFencesForgotten) {
			break
		}
		switch f.Kind {
		case ByTag:
			w.tags[f.Name] = f.Fence
		case ByPrefix:
			w.prefixes[f.Name] = f.Fence
		case ByGlob:
			w.globs[f.Name] = f.Fence
		case ByAll:
			w.all = f.Fence
		default:
			return nil, fmt.Errorf("%w: fence of %v", ErrState, f.Kind)
		}
		w.newest = max(w.newest, f.Fence.Newest())
	}
	return w, nil
}

// reader reads fields and remembers the first failure.
type reader struct {
	b   []byte
	err error
}

func read[T any](r *reader, f func([]byte) (T, []byte, error)) T {
	var zero T
	if r.err != nil {
		return zero
	}
	v, b, err := f(r.b)
	if err != nil {
		r.err = err
		return zero
	}
	r.b = b
	return v
}

func (r *reader) version() byte {
	if len(r.b) == 0 {
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint() uint64   { return read(r, msgp.ReadUint64Bytes) }
func (r *reader) int() int64     { return read(r, msgp.ReadInt64Bytes) }
func (r *reader) bool() bool     { return read(r, msgp.ReadBoolBytes) }
func (r *reader) string() string { return read(r, msgp.ReadStringBytes) }

func (r *reader) fixed(dst []byte) {
	v := read(r, msgp.ReadBytesZC)
	if r.err == nil && len(v) != len(dst) {
		r.err = fmt.Errorf("identity of %d bytes, want %d", len(v), len(dst))
	}
	copy(dst, v)
}

// count reads an array's length. No element is shorter than a byte.
func (r *reader) count() uint32 {
	n := read(r, msgp.ReadArrayHeaderBytes)
	if r.err == nil && uint64(n) > uint64(len(r.b)) {
		r.err = fmt.Errorf("list of %d in %d bytes", n, len(r.b))
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *reader) strings() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, r.string())
	}
	return out
}
