package events

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Record is one message of the log. Its changes share one [Position] and are
// applied together or not at all: what must die together travels in one
// record. No change of a record may cover a key that an earlier change of the
// same record puts, since both would have the same birth; [Record.Validate]
// refuses that, and every broad fence behind a put. Fences come first.
type Record struct {
	Changes []Change
}

// Change is one thing that a record says: *[Put], *[Invalidate], *[Intent],
// *[End], *[Pulse] or *[EpochChange]. The set is closed.
type Change interface {
	kind() kind
}

type kind uint8

// The numbers are the wire's. They are never reused.
const (
	kindPut        kind = 1
	kindInvalidate kind = 2
	kindIntent     kind = 3
	kindEnd        kind = 4
	kindPulse      kind = 5
	kindEpoch      kind = 6
)

// Confirms returns the changes with Confirm set on one of them, and whether one
// could carry it. The changes themselves stay as they are.
func Confirms(changes []Change) ([]Change, bool) {
	for i, c := range changes {
		var asking Change
		switch c := c.(type) {
		case *Put:
			put := *c
			put.Confirm = true
			asking = &put
		case *Invalidate:
			invalidate := *c
			invalidate.Confirm = true
			asking = &invalidate
		default:
			continue
		}
		changes = slices.Clone(changes)
		changes[i] = asking
		return changes, true
	}
	return changes, false
}

// WantsConfirmation reports whether c asks for a confirmation.
func WantsConfirmation(c Change) bool {
	switch c := c.(type) {
	case *Put:
		return c.Confirm
	case *Invalidate:
		return c.Confirm
	}
	return false
}

func (*Put) kind() kind         { return kindPut }
func (*Invalidate) kind() kind  { return kindInvalidate }
func (*Intent) kind() kind      { return kindIntent }
func (*End) kind() kind         { return kindEnd }
func (*Pulse) kind() kind       { return kindPulse }
func (*EpochChange) kind() kind { return kindEpoch }

// Version is a row version of the origin (a version column, a commit number):
// of two Puts of one key that both carry one, the higher wins, wherever they
// stand in the log. The zero Version is absent.
type Version struct {
	N     uint64
	Known bool
}

// Put gives a key a new value. It is a fence of the key at its own position
// and, if it carries an entry, a copy born there.
type Put struct {
	Key     string
	Version Version
	// Entry is the encoded entry, with neither birth nor epoch, which are this
	// record's. Empty: the value did not ride inline (it was too large) and
	// the record is only a fence.
	Entry []byte
	// Confirm asks every member to tell the record's publisher when it has applied
	// the record. Whoever is not answered asks again by a message.
	Confirm bool
}

// Scope says which copies a fence covers: the union of its parts.
type Scope struct {
	Keys []string
	// Tags covers every copy that carries one of them.
	Tags []string
	// Prefixes covers every key that lies under one of them. A prefix ends
	// with [Separator].
	Prefixes []string
	// Globs covers every key that matches one of them; '*' stands for any run
	// of bytes, separators included, '?' for any one character, '\' escapes.
	Globs []string
	// All covers everything in the domain.
	All bool
}

// Empty reports whether the scope covers nothing.
func (s *Scope) Empty() bool {
	return !s.All && len(s.Keys) == 0 && !s.Broad()
}

// Broad reports whether the scope covers more than single keys.
func (s *Scope) Broad() bool {
	return s.All || len(s.Tags) > 0 || len(s.Prefixes) > 0 || len(s.Globs) > 0
}

// Invalidate is a fence at its own position: every copy that it covers and
// that was born before it is dead, wherever it lies.
type Invalidate struct {
	Scope Scope
	// Soft copies may still be served as a marked fallback.
	Soft bool
	// Source is the origin's position of the change behind this fence (an LSN,
	// a GTID, an offset), opaque to the log. A loader that reads a replica
	// learns from it whether the replica is too old. Empty: unknown.
	Source string
	Cause  Cause
	// Confirm is as in [Put].
	Confirm bool
}

// Cause names what led to a fence. All of it may be empty.
type Cause struct {
	// Event is the domain event's identity: its source and id.
	Event string
	// Trace is a W3C traceparent, with the tracestate behind a space where
	// there is one.
	Trace string
}

// BracketID names one bracketed write.
type BracketID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id BracketID) String() string { return hex.EncodeToString(id[:]) }

// ParseBracketID reads what [BracketID.String] wrote.
func ParseBracketID(s string) (BracketID, error) {
	var id BracketID
	if n, err := hex.Decode(id[:], []byte(s)); err != nil || n != len(id) || len(s) != 2*len(id) {
		return BracketID{}, fmt.Errorf("%w bracket id %q: want %d hexadecimal digits", ErrInvalid, clip(s), 2*len(id))
	}
	return id, nil
}

// Intent opens a bracket: while it is pending, copies that it covers are dead
// and loads of covered keys go past the cache.
type Intent struct {
	Bracket BracketID
	Scope   Scope
	// Deadline is when a resolver may begin to end the bracket of a writer
	// that fell silent.
	Deadline time.Time
	// Writer is the node that opened the bracket. Empty: unknown.
	Writer NodeID
	// Decider names what decides whether the writer can still commit, as a
	// marker table does. Empty: nothing does, and nobody but the writer can
	// prove anything.
	Decider string
}

// End closes a bracket and fences its scope once more.
type End struct {
	Bracket BracketID
	// Scope is what the bracket covers in this log, for those who don't know
	// the bracket: its Intent was trimmed, or another End came first. Empty:
	// they fence everything.
	Scope Scope
}

// NodeID names a node for people and for placement. It is not an identity:
// two processes may claim one; the [Incarnation] tells them apart.
type NodeID string

// Pulse is a node's sign of life in the log. Read back from the log it proves
// how fresh its sender is; to the others it announces a member.
type Pulse struct {
	Node        NodeID
	Incarnation Incarnation
	// Number counts the incarnation's pulses from 1.
	Number uint64
	// Epoch, Applied and Digest are the sender's state when it published.
	Epoch   Epoch
	Applied Position
	Digest  Digest
	// Before is the digest in front of the record at Applied; zero: not known, or
	// that record opened the epoch. With it a reader that holds the record can tell
	// that the sender applied the same one.
	Before Digest
	// Addresses are where other processes reach the node, as URLs.
	Addresses []string
	// Weight is the node's share in owning slots; 0 owns nothing.
	Weight uint32
	// Leave announces that the incarnation serves no more, for good.
	Leave bool
	// Settled says that a full lease has passed since the sender applied the
	// beginning of Epoch: whoever held a lease from before it holds it no more.
	Settled bool
}

// EpochChange opens a new epoch at its own position and so fences everything
// born before it.
type EpochChange struct {
	Epoch Epoch
	// Why is for people.
	Why string
}
