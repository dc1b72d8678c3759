package snapshot

import (
	"errors"
	"fmt"
)

// Why an image is refused. All that is wrong with one wraps exactly one of them.
var (
	// ErrTorn reports an image that ends before its end: writing it was cut off.
	ErrTorn = errors.New("snapshot is torn")
	// ErrCorrupt reports bytes that are not those that were written; as a
	// *[BlockError] where it is known where.
	ErrCorrupt = errors.New("snapshot is damaged")
	// ErrForeign reports an image of another domain, or no image at all.
	ErrForeign = errors.New("snapshot is not of this domain")
	// ErrFuture reports an image of a later version of the format.
	ErrFuture = errors.New("snapshot is of a later version")
	// ErrSealed reports an image that the keys at hand don't open.
	ErrSealed = errors.New("snapshot does not open with these keys")
	// ErrNoBase reports an increment whose base is missing, or is another.
	ErrNoBase = errors.New("snapshot's base is missing")
	// ErrOldEpoch reports an image of an epoch that the log has left: all that
	// it holds is dead.
	ErrOldEpoch = errors.New("snapshot is of an epoch that is over")
	// ErrTrimmed reports an image from before the log's first record.
	ErrTrimmed = errors.New("snapshot is older than the log's beginning")
	// ErrOtherHistory reports an image of a history that is not the log's.
	ErrOtherHistory = errors.New("snapshot is of another history")
	// ErrUnproved reports an image for which nothing in the log vouches.
	ErrUnproved = errors.New("nothing vouches for the snapshot's history")
	// ErrSlower reports an image that would save nothing.
	ErrSlower = errors.New("starting without the snapshot is quicker")
)

// ErrNotFound reports an object, or a snapshot, that is not there.
var ErrNotFound = errors.New("no such snapshot")

// BlockError says where in its data an image is damaged.
type BlockError struct {
	// Offset is where the damaged block begins, in bytes from the start of the
	// data object.
	Offset int64
	What   string
}

func (e *BlockError) Error() string {
	return fmt.Sprintf("%v: block at byte %d: %s", ErrCorrupt, e.Offset, e.What)
}

func (e *BlockError) Unwrap() error { return ErrCorrupt }

// Refusal says of one image why it is not used.
type Refusal struct {
	ID  string
	Err error
}

func (r *Refusal) Error() string { return fmt.Sprintf("snapshot %s: %v", r.ID, r.Err) }

func (r *Refusal) Unwrap() error { return r.Err }
