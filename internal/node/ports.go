package node

import (
	"context"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Memory is L1. All methods are safe for concurrent use; those that change the
// guard slots are atomic with Put.
type Memory interface {
	// Lookup returns the copy under key, expired or not, in dst if that is
	// large enough.
	Lookup(key string, dst []byte) (tiers.Entry, bool)
	// Holds reports whether there is a copy under key.
	Holds(key string) bool
	// Put stores a copy unless the key's guard slot is above its birth.
	Put(e tiers.Entry) error
	// Promote is Put of a copy that lies on disk. It takes those that are
	// asked for more than once.
	Promote(e tiers.Entry) error
	// Fence raises the key's guard slot to p and drops the copy.
	Fence(key string, p events.Position)
	// Replace raises the key's guard slot to e's birth and stores e.
	Replace(e tiers.Entry) error
	// Guard returns a position at or above every fence of key since the last
	// Reset of its partition.
	Guard(key string) events.Position
	// Soften drops the copy, so that the soft fence is judged further out.
	Soften(key string, p events.Position)
	Remove(key string)
	// Reset drops all copies (of every partition) and lowers the partition's
	// guard slots.
	Reset(partition int)
	// Suspend drops all copies and takes no more, until Resume; guard slots go on.
	Suspend()
	Resume()
}

// Disk is L3: copies, and beside them the fences of single keys, with the
// state of the partition's World in the same store. Errors that wrap
// tiers.ErrUnavailable mean that it is gone for good, but for tiers.ErrStalled.
type Disk interface {
	// Lookup returns the key's fence, or one at or above it where that was
	// forgotten, and the copy, nil if there is none, in
	// dst if that is large enough. A damaged row whose fence can't be read is
	// an error that wraps tiers.ErrCorrupt.
	Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error)
	// Fill stores a copy if alive says yes to the key's fence, atomically with
	// the commit of batches.
	Fill(partition int, e tiers.Entry, alive func(tiers.Fence) bool) error
	// FillAll is Fill of several copies of one partition in one write. It keeps
	// es and their bytes; what is refused is no error.
	FillAll(partition int, es []tiers.Entry, alive func(tiers.Entry, tiers.Fence) bool) error
	Version(key string) (uint64, bool, error)
	// Batch returns the partition's batch, for the apply loop alone.
	Batch(partition int) Batch
	Meta(partition int, name string) ([]byte, error)
	Broad(partition int, fn func(coherence.BroadFence) error) error
	Remove(partition int, keys ...string) error
	Scan(partition int, from string, limit int, fn func(tiers.Entry) bool) (next string, err error)
	Sync() error
}

// Batch gathers what applying records changes on disk. It commits as one, not
// synced: after a crash the log repeats what was lost.
type Batch interface {
	FenceKey(key string, p events.Position)
	SoftenKey(key string, p events.Position) error
	PutEntry(e tiers.Entry)
	FencePut(key string, p events.Position)
	SetVersion(key string, v uint64)
	FenceBroad(f coherence.BroadFence)
	DropBroad(kind coherence.Kind, name string)
	// DropValues drops every row of the partition: copies, fences, versions.
	DropValues()
	// Forget says that copies born before p are refused everywhere, so that
	// the fences of keys up to there need not be kept.
	Forget(p events.Position)
	SetMeta(name string, blob []byte)
	Commit() error
}

// Shared is L2. It is storage, never an authority.
type Shared = tiers.Tier

// Adviser is a tier that knows what is wrong with how it was set up.
type Adviser interface {
	// Advice is for an operator, a sentence each; none if all is well.
	Advice() []string
}

// Testimony is what a witness keeps of one partition: the highest position of
// an epoch that must survive the log, and the digest there.
type Testimony struct {
	Epoch    events.Epoch
	Position events.Position
	Digest   events.Digest
}

// Yields reports whether a witness that keeps t replaces it by to for a caller
// who has compared from. It is what [Witness.Raise] means.
func (t Testimony) Yields(from, to Testimony) bool {
	switch {
	case t == Testimony{}:
		return true
	case t.Epoch == to.Epoch && t.Position >= to.Position:
		return false
	case t.Epoch != from.Epoch:
		return false
	}
	return t.Position < from.Position || t == from
}

// Witness outlives the log, or a tail of it, and so proves a loss.
type Witness interface {
	// Read returns what is kept; the zero Testimony if nothing is.
	Read(ctx context.Context, partition int) (Testimony, error)
	// Raise replaces what is kept by to, and returns what is kept then. It does
	// so if nothing is kept, or if what is kept is from or lower in from's
	// epoch: the caller has compared from with its own history. In to's own
	// epoch, nothing but a lower place is replaced.
	Raise(ctx context.Context, partition int, from, to Testimony) (Testimony, error)
}

// Committer gathers changes into records of a partition's log.
type Committer interface {
	// Append publishes changes in one record and returns where it landed and
	// as what. Errors are those of events.Log.Publish.
	Append(ctx context.Context, changes ...events.Change) (events.Position, events.ID, error)
	// AppendNext is Append of a record that lands right behind last or not at
	// all; see events.Log.PublishNext.
	AppendNext(ctx context.Context, last events.Mark, changes ...events.Change) (events.Position, events.ID, error)
}
