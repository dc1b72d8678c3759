package coherence

import (
	"iter"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// World is what a node has learnt from one partition's log. Build one with
// [New] or [Restore].
type World struct {
	// epoch is the history that applied counts in; zero until an EpochChange
	// or a pulse that proves it has been applied.
	epoch events.Epoch
	// former are the epochs that this World knows besides, newest last: a token
	// from one of them is satisfied by anything of today.
	former []events.Epoch

	// last is the identity of the record at the applied position.
	last   events.Mark
	digest events.Digest
	// anchored tells whether digest is h(last.Position) of the whole history.
	// It is not after a start in a trimmed log, until a pulse lends one.
	anchored bool
	// recent remembers the digests behind us, so that what others report of
	// their place can be compared (H1, H2).
	recent ring
	// unanchored are the identities of the last records applied while the
	// digest was not anchored, ending with last: with a member's digest at any
	// of their positions it can be.
	unanchored []events.ID

	// horizon: births below it are refused, for fences may be unknown there.
	horizon events.Position

	all      Fence
	tags     map[string]Fence
	prefixes map[string]Fence
	globs    map[string]Fence
	// newest >= every fence above and the horizon: a copy born at or behind it
	// needs no look at them.
	newest events.Position

	// diverged is evidence that a member of this epoch applied another history
	// than this World. A later EpochChange settles it.
	diverged *events.HistoryError

	// settled: a member of this epoch has said that nobody can hold a lease
	// from before it any more.
	settled bool
	// begun is when, by the log, the first record landed that is known of this
	// epoch, in nanoseconds; 0 if that is the one that opened it. Pulses of members
	// may have been trimmed before it.
	begun int64

	members  map[events.Incarnation]Member
	brackets map[events.BracketID]Bracket

	sources sources

	effects Effects // lent out by Apply until the next call
}

// Member is one incarnation of a node, as its pulses tell.
type Member struct {
	Node        events.NodeID
	Incarnation events.Incarnation
	// First is the position of its first pulse, Pulse that of its last, Number
	// that pulse's number.
	First  events.Position
	Pulse  events.Position
	Number uint64
	// Applied and Digest are what the last pulse reported.
	Applied   events.Position
	Digest    events.Digest
	Addresses []string
	Weight    uint32
}

// Bracket is an intent whose end has not been applied.
type Bracket struct {
	ID       events.BracketID
	Scope    events.Scope
	Since    events.Position
	Deadline int64 // Unix milliseconds
	// Logged is the log's time of its last Intent, in Unix nanoseconds: a
	// bracket must be published again before retention takes that away (H10).
	Logged int64
	// Opened is the log's time of the first Intent that was seen, in Unix
	// nanoseconds.
	Opened int64
	// Writer and Decider are the intent's.
	Writer  events.NodeID
	Decider string
}

// New returns the World of a node that has applied nothing.
func New() *World {
	return &World{
		anchored: true,
		tags:     make(map[string]Fence),
		prefixes: make(map[string]Fence),
		globs:    make(map[string]Fence),
		members:  make(map[events.Incarnation]Member),
		brackets: make(map[events.BracketID]Bracket),
	}
}

// Epoch returns the current epoch; zero if it is not known yet.
func (w *World) Epoch() events.Epoch { return w.epoch }

// Applied returns the position of the last applied record.
func (w *World) Applied() events.Position { return w.last.Position }

// Mark returns the identity of the last applied record.
func (w *World) Mark() events.Mark { return w.last }

// Digest returns the rolling digest at the applied position, and whether it is
// that of the whole history.
func (w *World) Digest() (events.Digest, bool) { return w.digest, w.anchored }

// DigestAt returns the digest at p, if p is recent enough to be remembered.
func (w *World) DigestAt(p events.Position) (events.Digest, bool) {
	if !w.anchored {
		return events.Digest{}, false
	}
	return w.recent.at(p)
}

// OldestDigest returns the lowest position of the unbroken history up to Applied
// whose digest is remembered, and that digest; false if the digest has no base.
func (w *World) OldestDigest() (events.Position, events.Digest, bool) {
	if !w.anchored || w.recent.n == 0 {
		return 0, events.Digest{}, false
	}
	p := w.recent.last - events.Position(w.recent.n-1)
	d, ok := w.recent.at(p)
	return p, d, ok
}

// Diverged returns evidence, not settled by an EpochChange, that a member of
// this epoch applied another history; nil if there is none. A node that has
// such evidence must not call itself fresh (G8).
func (w *World) Diverged() error {
	if w.diverged == nil {
		return nil
	}
	return w.diverged
}

// Settled reports whether a member has said that nobody can hold a lease from
// before this epoch any more (H4).
func (w *World) Settled() bool { return w.settled }

// Spans returns for how many nanoseconds, by the log's timestamps, every member's
// pulse has been seen. A member whose last one is older may not be known (P43).
func (w *World) Spans() int64 {
	if w.begun == 0 || mutant.On(mutant.TrimmedMemberUnknown) {
		return math.MaxInt64
	}
	return w.last.Time - w.begun
}

// Horizon returns the position below which every birth is refused.
func (w *World) Horizon() events.Position { return w.horizon }

// Newest returns a position at or above the horizon and every fence that the
// World keeps. A copy of the current epoch that was born there or later can be
// killed by its key's fence, or by an open bracket, only.
func (w *World) Newest() events.Position { return w.newest }

// WasEpoch reports whether e is an epoch that this World has left. The present
// one is not, even if the World began anew within it; and neither is one that
// came later than the present: the log may have lost what ended it.
func (w *World) WasEpoch(e events.Epoch) bool {
	at := slices.Index(w.former, e)
	if at < 0 || e == w.epoch {
		return false
	}
	now := slices.Index(w.former, w.epoch)
	return now < 0 || at < now || mutant.On(mutant.LeftForGood)
}

// Behind reports whether this World began anew and is in an epoch after which it
// knows another: it reads again what it has left, or the log has lost what
// ended it.
func (w *World) Behind() bool {
	now := slices.Index(w.former, w.epoch)
	return now >= 0 && now < len(w.former)-1 && !mutant.On(mutant.LeftForGood)
}

// Members yields every incarnation that announced itself and has not left.
func (w *World) Members() iter.Seq[Member] { return maps.Values(w.members) }

// Proves reports whether m's last pulse proves that m has applied everything up
// to p of the history that this World knows. A number alone proves nothing: a
// member may have applied other records there (H2), and one that has not heard
// of the present epoch counts in another (H4).
func (w *World) Proves(m Member, p events.Position) bool {
	own, known := w.DigestAt(m.Applied)
	return m.Applied >= p && (known && own == m.Digest || mutant.On(mutant.PulseAckUnproven))
}

// Forget drops a member. The caller knows by its own clock that the member's
// lease has run out: should it pulse again, it joins anew, behind its pulse.
func (w *World) Forget(i events.Incarnation) { delete(w.members, i) }

// Brackets yields the open brackets.
func (w *World) Brackets() iter.Seq[Bracket] { return maps.Values(w.brackets) }

// Copy is what judging a copy needs to know of it.
type Copy struct {
	Key   string
	Epoch events.Epoch
	Birth events.Position
	// Tags may be nil.
	Tags iter.Seq[string]
}

// Judge says whether c is alive, given the fence of its key.
func (w *World) Judge(c Copy, key Fence) Life {
	life, _ := w.Explain(c, key)
	return life
}

// Explain is [World.Judge] with the reason.
func (w *World) Explain(c Copy, key Fence) (Life, Reason) {
	if (c.Epoch != w.epoch || c.Epoch == 0) && !mutant.On(mutant.EpochIgnored) {
		return Dead, Reason{Cause: OtherEpoch}
	}
	if c.Birth < w.horizon && !mutant.On(mutant.HorizonIgnored) {
		return Dead, Reason{Cause: BelowHorizon, Position: w.horizon}
	}
	if len(w.brackets) > 0 && w.Bypass(c.Key, c.Tags) && !mutant.On(mutant.BracketsHarmless) {
		return Dead, Reason{Cause: InBracket}
	}
	v := verdict{birth: c.Birth}
	if mutant.On(mutant.BirthOneTooHigh) {
		v.birth++
	}
	if mutant.On(mutant.BirthOneTooLow) {
		v.birth--
	}
	v.hit(key, ByKey, c.Key)
	if c.Birth < w.newest {
		w.judgeBroad(&v, c)
	}
	switch {
	case v.hard.Cause != NoCause:
		return Dead, v.hard
	case v.soft.Cause != NoCause && !mutant.On(mutant.StaleIsAlive):
		return Stale, v.soft
	}
	return Alive, Reason{}
}

func (w *World) judgeBroad(v *verdict, c Copy) {
	v.hit(w.all, ByAll, "")
	if c.Tags != nil && len(w.tags) > 0 {
		for t := range c.Tags {
			v.hit(w.tags[t], ByTag, t)
		}
	}
	if len(w.prefixes) > 0 {
		for p := range Prefixes(c.Key) {
			v.hit(w.prefixes[p], ByPrefix, p)
		}
	}
	for g, f := range w.globs {
		if c.Birth < f.Newest() && events.MatchGlob(c.Key, g) {
			v.hit(f, ByGlob, g)
		}
	}
}

// Prefixes yields the prefixes that key lies under, shortest first.
func Prefixes(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for from := 0; ; {
			i := strings.IndexByte(key[from:], events.Separator)
			if i < 0 {
				return
			}
			from += i + 1
			if !yield(key[:from]) {
				return
			}
		}
	}
}

// verdict gathers the strongest reasons against a copy.
type verdict struct {
	birth      events.Position
	hard, soft Reason
}

func (v *verdict) hit(f Fence, kind Kind, name string) {
	if v.birth < f.Hard && f.Hard > v.hard.Position {
		v.hard = Reason{Cause: HardFence, Kind: kind, Name: name, Position: f.Hard}
	}
	if v.birth < f.Soft && f.Soft > v.soft.Position {
		v.soft = Reason{Cause: SoftFence, Kind: kind, Name: name, Position: f.Soft}
	}
}

// Bypass reports whether an open bracket covers key, or a copy with tags of
// that key: loads then go past the cache, and are neither kept nor shared
// (H7).
func (w *World) Bypass(key string, tags iter.Seq[string]) bool {
	for _, b := range w.brackets {
		if b.Scope.Covers(key) {
			return true
		}
		if tags == nil || mutant.On(mutant.BypassIgnoresTags) {
			continue
		}
		for t := range tags {
			for _, own := range b.Scope.Tags {
				if t == own {
					return true
				}
			}
		}
	}
	return false
}

// Prune forgets every fence below p and raises the horizon to it. It is always
// safe; what it costs is the copies born before p.
func (w *World) Prune(p events.Position) (dropped []BroadFence) {
	if p > w.last.Position {
		p = w.last.Position
	}
	if p <= w.horizon {
		return nil
	}
	if !mutant.On(mutant.PruneWithoutHorizon) {
		w.horizon = p
	}
	w.newest = max(w.newest, p)
	forget := func(m map[string]Fence, kind Kind) {
		for name, f := range m {
			// A copy born at or behind the horizon is not covered by a fence
			// at or below it.
			if f.Newest() <= p {
				delete(m, name)
				dropped = append(dropped, BroadFence{Kind: kind, Name: name})
			}
		}
	}
	forget(w.tags, ByTag)
	forget(w.prefixes, ByPrefix)
	forget(w.globs, ByGlob)
	if all := w.all.Newest(); 0 < all && all <= p {
		w.sources.dropUnread() // each fenced everything
	}
	return dropped
}

// Successor returns the World of a node that begins anew on the same log: it
// has applied nothing, but remembers which epochs w knew, and as later ones those
// of the arguments.
func Successor(w *World, later ...events.Epoch) *World {
	s := New()
	s.former = append(s.former, w.former...)
	s.sources = w.sources // the origin's positions are not the log's
	s.leave(w.epoch)
	for _, e := range later {
		s.leave(e)
	}
	return s
}

// Beyond returns the World of a node that begins anew behind a hole in the log:
// a [Successor] that keeps the brackets which w knows to be open. The records
// that opened them may stand in front of the hole, where nobody reads them
// again. What ended them may lie in it: they then stay open, which is safe.
func Beyond(w *World) *World {
	s := Successor(w)
	if !mutant.On(mutant.HoleEndsBrackets) {
		s.brackets = w.brackets
	}
	return s
}

// leave remembers an epoch as one that was left.
func (w *World) leave(e events.Epoch) {
	if e == 0 || slices.Contains(w.former, e) {
		return
	}
	w.former = append(w.former, e)
	if n := len(w.former) - mostFormer(); n > 0 {
		w.former = w.former[n:]
	}
}
