package coherence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Step is one record as the log delivered it.
type Step struct {
	Mark events.Mark
	// Record is what it says; meaningless if Err is set.
	Record events.Record
	// Err is why the record could not be decoded. It then fences everything.
	Err error
}

// Effects are what the node must do because a record was applied, before it
// publishes the new position as applied. They belong to the World and are
// valid until its next Apply.
type Effects struct {
	// Fences are the single keys to fence at the step's position, in order,
	// before Puts.
	Fences []KeyFence
	// Puts give keys new values. A Put is a hard fence of its key at the
	// step's position, and its entry a copy born there; whether it loses
	// against an older Put of a higher row version is for the keeper of the
	// versions to say.
	Puts []*events.Put
	// Broad are the fences that the World has raised, as they stand now, to be
	// kept durably.
	Broad []BroadFence
	// Void: the step opened a new epoch. Every copy and every fence that the
	// node keeps of this partition is void and to be dropped.
	Void bool
	// Pulses are the pulses of the step, in order.
	Pulses []*events.Pulse
	// Brackets reports that a bracket was opened or closed.
	Brackets bool
}

// KeyFence is a fence of one key.
type KeyFence struct {
	Key      string
	Hardness Hardness
}

// BroadFence is a fence of a tag, a prefix, a glob or of everything.
type BroadFence struct {
	Kind  Kind
	Name  string
	Fence Fence
}

func (e *Effects) reset() {
	clear(e.Puts)
	clear(e.Pulses)
	*e = Effects{Fences: e.Fences[:0], Puts: e.Puts[:0], Broad: e.Broad[:0], Pulses: e.Pulses[:0]}
}

// Apply takes the record at the next position. The first record that a World
// ever sees may stand anywhere: what lies before it is unknown, so the horizon
// rises to the position before it. After that a position other than the next
// is a mistake of the caller's and panics; the follower has excluded it.
func (w *World) Apply(s Step) *Effects {
	e := &w.effects
	e.reset()
	p := s.Mark.Position
	switch {
	case p == w.last.Position+1:
	case w.last.Position == 0 && p > 0:
		if !mutant.On(mutant.GapWithoutHorizon) {
			w.horizon = p - 1
		}
		w.newest = max(w.newest, w.horizon)
		w.anchored = false
		w.begun = s.Mark.Time
	default:
		panic(fmt.Sprintf("coherence: apply %d after %d", p, w.last.Position))
	}
	w.last = s.Mark
	w.digest = w.digest.Next(s.Mark.ID)
	w.recent.push(p, w.digest)
	if !w.anchored {
		w.unanchored = append(w.unanchored, s.Mark.ID)
		if n := len(w.unanchored) - remembered; n > 0 {
			w.unanchored = w.unanchored[n:]
		}
	}
	if s.Err != nil && mutant.On(mutant.UndecodableSkipped) {
		return e
	}
	if s.Err != nil {
		// No build writes what a fence can't stand for in a form that others can't
		// read (events.WireVersion).
		w.raise(ByAll, "", at(p, Hard))
		w.sources.unread()
		return e
	}
	for _, c := range s.Record.Changes {
		w.change(p, c)
	}
	return e
}

func (w *World) change(p events.Position, c events.Change) {
	e := &w.effects
	switch c := c.(type) {
	case *events.Put:
		e.Puts = append(e.Puts, c)
	case *events.Invalidate:
		hardness := Hard
		if c.Soft {
			hardness = Soft
		}
		w.fence(p, &c.Scope, hardness)
		w.sources.note(&c.Scope, c.Source)
	case *events.Intent:
		if !mutant.On(mutant.IntentWithoutFence) {
			w.fence(p, &c.Scope, Hard)
		}
		b, open := w.brackets[c.Bracket]
		if !open {
			b = Bracket{ID: c.Bracket, Scope: c.Scope, Since: p, Deadline: c.Deadline.UnixMilli(),
				Opened: w.last.Time, Writer: c.Writer, Decider: c.Decider}
			e.Brackets = true
		}
		b.Logged = w.last.Time
		w.brackets[c.Bracket] = b
	case *events.End:
		b, open := w.brackets[c.Bracket]
		if !open {
			// It may end a bracket whose intent was trimmed away: what was
			// loaded while it was open, above the horizon, is not known. Or it
			// ends one for the second time: the writer whom a resolver took
			// for dead may have committed meanwhile, if it proved nothing.
			b.Scope = c.Scope
			if b.Scope.Empty() {
				b.Scope.All = true
			}
			if mutant.On(mutant.UnknownEndIgnored) {
				b.Scope = events.Scope{}
			}
		}
		if !open || !mutant.On(mutant.EndWithoutFence) {
			w.fence(p, &b.Scope, Hard)
		}
		delete(w.brackets, c.Bracket)
		e.Brackets = e.Brackets || open
	case *events.Pulse:
		w.pulse(p, c)
		e.Pulses = append(e.Pulses, c)
	case *events.EpochChange:
		w.open(p, epochAt(c.Epoch, w.last))
		e.Void = true
	default:
		// What this build knows no meaning of may kill anything (P19).
		if !mutant.On(mutant.UnknownChangeSkipped) {
			w.raise(ByAll, "", at(p, Hard))
		}
	}
}

func (w *World) fence(p events.Position, s *events.Scope, hardness Hardness) {
	for _, k := range s.Keys {
		w.effects.Fences = append(w.effects.Fences, KeyFence{Key: k, Hardness: hardness})
	}
	f := at(p, hardness)
	for _, t := range s.Tags {
		w.raise(ByTag, t, f)
	}
	for _, x := range s.Prefixes {
		w.raise(ByPrefix, x, f)
	}
	for _, g := range s.Globs {
		w.raise(ByGlob, g, f)
	}
	if s.All {
		w.raise(ByAll, "", f)
	}
}

// maxGlobs bounds the globs that every judgement of an older copy has to match
// against. Beyond it one fence of everything takes their place.
const maxGlobs = 256

func (w *World) raise(kind Kind, name string, f Fence) {
	var now Fence
	switch kind {
	case ByTag:
		now = w.tags[name].Join(f)
		w.tags[name] = now
	case ByPrefix:
		now = w.prefixes[name].Join(f)
		w.prefixes[name] = now
	case ByGlob:
		now = w.globs[name].Join(f)
		w.globs[name] = now
	case ByAll:
		now = w.all.Join(f)
		w.all = now
	}
	if !mutant.On(mutant.FloorNotRaised) {
		w.newest = max(w.newest, f.Newest())
	}
	w.effects.Broad = append(w.effects.Broad, BroadFence{Kind: kind, Name: name, Fence: now})
	if kind == ByGlob && len(w.globs) > maxGlobs {
		for g, one := range w.globs {
			f = f.Join(one) // a soft glob must not soften the hard ones
			w.effects.Broad = append(w.effects.Broad, BroadFence{Kind: ByGlob, Name: g})
		}
		w.raise(ByAll, "", f)
		clear(w.globs)
	}
}

// pulse notes a member's sign of life and compares its history with ours.
func (w *World) pulse(p events.Position, c *events.Pulse) {
	if w.epoch == 0 && c.Epoch != 0 && c.Applied >= w.horizon && (w.anchored || w.shares(c) || c.Applied >= w.last.Position) {
		// The record that opened the epoch was trimmed. Since the horizon we
		// have seen everything and no EpochChange, so what the sender held at
		// Applied still holds; or it was further than the log, which tells as much
		// of its epoch.
		w.epoch = c.Epoch
	}
	if c.Epoch == w.epoch && c.Epoch != 0 && !mutant.On(mutant.DivergenceIgnored) {
		w.compare(c)
	}
	if c.Epoch == w.epoch && c.Settled {
		w.settled = true
	}
	if c.Leave {
		delete(w.members, c.Incarnation)
		return
	}
	if mutant.On(mutant.TwinReplaced) {
		for i, m := range w.members {
			if m.Node == c.Node && i != c.Incarnation {
				delete(w.members, i)
			}
		}
	}
	first := p
	if m, known := w.members[c.Incarnation]; known && !mutant.On(mutant.FirstIsLast) {
		first = m.First
	}
	w.members[c.Incarnation] = Member{
		Node: c.Node, Incarnation: c.Incarnation, First: first, Pulse: p, Number: c.Number,
		Applied: c.Applied, Digest: c.Digest, Addresses: c.Addresses, Weight: c.Weight,
	}
}

// compare looks for evidence of another history in what a member of this epoch
// says, and takes over its digest if there is none here.
func (w *World) compare(c *events.Pulse) {
	switch {
	case c.Applied >= w.last.Position:
		w.diverged = &events.HistoryError{At: c.Applied, Evidence: fmt.Sprintf(
			"%s had applied %d when it published the record at %d", c.Node, c.Applied, w.last.Position)}
		return
	case c.Digest == (events.Digest{}):
		return // the sender started in a trimmed log and has none yet
	case !w.anchored:
		if w.shares(c) {
			w.borrow(c.Applied, c.Digest)
		}
		return
	}
	if own, ok := w.DigestAt(c.Applied); ok && own != c.Digest {
		w.diverged = &events.HistoryError{At: c.Applied, Evidence: fmt.Sprintf(
			"%s computed digest %s there, this node %s", c.Node, c.Digest, own)}
	}
}

// shares reports whether the sender of c had applied the very record that this
// World, which has no base, read at c.Applied. A number alone proves nothing: a
// member may still be in a history that the log has lost, the evidence of which
// has been trimmed (H1).
func (w *World) shares(c *events.Pulse) bool {
	if mutant.On(mutant.BaseByNumber) {
		return true
	}
	behind := uint64(w.last.Position - c.Applied)
	if c.Applied > w.last.Position || behind >= uint64(len(w.unanchored)) {
		return false
	}
	return c.Digest == c.Before.Next(w.unanchored[uint64(len(w.unanchored))-1-behind])
}

// borrow anchors the digest on a member's: h(a) is its, and what was applied
// since then is known here.
func (w *World) borrow(a events.Position, d events.Digest) {
	behind := uint64(w.last.Position - a)
	if behind > uint64(len(w.unanchored)) {
		return
	}
	ids := w.unanchored[uint64(len(w.unanchored))-behind:]
	w.anchor(a, d)
	for i, id := range ids {
		w.digest = w.digest.Next(id)
		w.recent.push(a+events.Position(i)+1, w.digest)
	}
}

func (w *World) anchor(p events.Position, d events.Digest) {
	w.digest, w.anchored, w.unanchored = d, true, nil
	w.recent.forget()
	w.recent.push(p, d)
}

// formerEpochs bounds how many left epochs are remembered. A token of an older
// one costs a pulse. It must exceed the epochs that a log can hold: who begins
// anew because of an epoch that the witness named reads all of them again, and
// would forget the named one, meet it again, and open epochs for ever.
const formerEpochs = 1024

func mostFormer() int {
	if mutant.On(mutant.FewEpochsRemembered) {
		return 16
	}
	return formerEpochs
}

// epochAt returns the epoch that a record which announces id opens where it
// stands. The place counts: an announcement whose answer was lost is published
// again, and may land in a history that it was not made for. Were the epoch
// there the same, copies of the lost history, born at positions that this one
// has not reached, would live again (G6).
func epochAt(id events.Epoch, m events.Mark) events.Epoch {
	if mutant.On(mutant.EpochIgnoresPlace) {
		return id | 1
	}
	var b [24]byte
	binary.BigEndian.PutUint64(b[0:], uint64(id))
	binary.BigEndian.PutUint64(b[8:], uint64(m.Position))
	binary.BigEndian.PutUint64(b[16:], uint64(m.Time))
	sum := sha256.Sum256(b[:])
	// Zero names no epoch; the last bit is worth less than a loop.
	return events.Epoch(binary.BigEndian.Uint64(sum[:]) | 1)
}

// open begins a new epoch at p: nothing born before it lives, and who its
// members are has to be learnt anew (H4).
func (w *World) open(p events.Position, id events.Epoch) {
	if w.epoch != id {
		w.leave(w.epoch)
	}
	w.epoch = id
	w.settled = w.settled && mutant.On(mutant.EpochStaysSettled)
	w.begun = 0
	w.diverged = nil // whatever it was, this is the answer to it
	// The digest begins anew, so that whoever starts in a trimmed log has a
	// base: h(p) = H(0, id(p)) where p opens an epoch.
	w.anchor(p, events.Digest{}.Next(w.last.ID))
	w.horizon = p
	w.newest = max(w.newest, p)
	w.all = Fence{}
	clear(w.tags)
	clear(w.prefixes)
	clear(w.globs)
	if !mutant.On(mutant.EpochKeepsMembers) {
		clear(w.members)
	}
	e := &w.effects
	e.Broad = e.Broad[:0]
	e.Fences = e.Fences[:0]
	e.Puts = e.Puts[:0]
}
