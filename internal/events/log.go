package events

import (
	"context"
	"errors"
	"fmt"
)

// Log is one partition of a domain's log: a totally ordered, append-only
// sequence of records. Its methods are safe for concurrent use.
type Log interface {
	// Publish appends data, an encoded record, under id and returns where it
	// landed. It blocks until the outcome is known or ctx is done, and does
	// not keep data after an error of kind [ErrNotLanded] or success.
	//
	// Every error is a *[PublishError] that wraps one of two sentinels:
	// [ErrNotLanded] if the record is certainly not in the log and never will
	// be by this call, and [ErrIndeterminate] if it may be or become so: ctx
	// ended first, and the log keeps trying in the background under the same
	// id until it has an answer or is closed. A ctx that ended while every
	// answer so far was a refusal yields ErrNotLanded.
	Publish(ctx context.Context, id ID, data []byte) (Position, error)

	// PublishNext is Publish of a record that lands right behind last or not
	// at all: success proves that last is still the log's record there, and
	// was its latest. Where another one stands behind last, or last is not
	// there, the outcome is [ErrNotLanded] with the cause [ErrNotNext].
	PublishNext(ctx context.Context, last Mark, id ID, data []byte) (Position, error)

	// Follow calls sink with every record after from, in order, in batches,
	// from one goroutine at a time, until ctx is done (it returns ctx's
	// error), sink returns an error (it returns that error as it is), the log
	// is closed ([ErrClosed]), or the history can't be followed: *[GapError],
	// *[HistoryError] or an [ErrDrift]. Everything that may pass (a lost connection, a consumer that stalled, a log that
	// does not exist at the moment) it retries without end.
	//
	// A from that names no record ([Mark.Named]) means: from the first one that
	// is held behind its position, which the log has come to once; so a zero
	// from begins with the first that is retained. Otherwise the log must
	// still hold the record that from names, with the same identity.
	// Positions delivered are contiguous. The batch is reused after sink
	// returned; each Data stays valid and must not be changed.
	Follow(ctx context.Context, from Mark, sink Sink) error

	// Read calls sink with the records from first to last, in order, as Follow
	// does, and returns nil once it has had the last one; the caller knows that
	// the log has come so far. Records that are not there are a *[GapError].
	// Nothing ties what is read to a history: that is for the caller to prove,
	// by the digest.
	Read(ctx context.Context, first, last Position, sink Sink) error
}

// errRead ends the following that a Read is made of.
var errRead = errors.New("read all")

// ReadBy is [Log.Read] by means of a function that follows a log as c says. It
// is for implementations.
func ReadBy(first, last Position, sink Sink, follow func(c *Continuity, sink Sink) error) error {
	if first == 0 || last < first {
		return fmt.Errorf("%w: read from %d to %d", ErrInvalid, first, last)
	}
	err := follow(NewReading(first), func(batch []Delivery) error {
		done := false
		if n := last - batch[0].Position; Position(len(batch)) > n {
			batch, done = batch[:n+1], true
		}
		if err := sink(batch); err != nil {
			return err
		}
		if done {
			return errRead
		}
		return nil
	})
	if err == errRead {
		return nil
	}
	return err
}

// Sink takes a batch of deliveries, in order and without gaps.
type Sink func(batch []Delivery) error

// Delivery is one record as the log delivers it.
type Delivery struct {
	Mark
	// Data is the encoded record.
	Data []byte
}

var (
	// ErrNotLanded reports a record that is certainly not in the log.
	ErrNotLanded = errors.New("record did not land in the log")
	// ErrNotNext reports that the log does not end with the record that a
	// publish was to stand behind.
	ErrNotNext = errors.New("log does not end where it was expected to")
	// ErrIndeterminate reports a record that may be in the log, or may come to
	// be: the caller must treat it as both.
	ErrIndeterminate = errors.New("record may or may not have landed in the log")
	// ErrGap reports that records behind the follower's place are gone: the log
	// was trimmed past it, or has a hole.
	ErrGap = errors.New("records behind the follower are gone from the log")
	// ErrHistoryChanged reports that the log is not the one that the follower
	// knows: recreated, restored, shortened or diverged.
	ErrHistoryChanged = errors.New("history of the log changed")
	// ErrNoDomain reports a domain that was never created, or was deleted.
	ErrNoDomain = errors.New("domain does not exist")
	// ErrDrift reports a log whose settings on the server are not what its
	// domain was created with, so that its promises may not hold.
	ErrDrift = errors.New("settings of the log drifted")
	// ErrOverloaded reports what was turned away because a bounded queue is full.
	ErrOverloaded = errors.New("node is overloaded")
	// ErrClosed reports the use of a log after it was closed.
	ErrClosed = errors.New("log is closed")
)

// PublishError says what is known about a publish that did not succeed.
type PublishError struct {
	ID ID
	// Outcome is [ErrNotLanded] or [ErrIndeterminate].
	Outcome error
	// Cause is why; never nil.
	Cause error
}

func (e *PublishError) Error() string {
	return fmt.Sprintf("publish record %s: %v: %v", e.ID, e.Outcome, e.Cause)
}

// Unwrap lets errors.Is find both the outcome and its cause.
func (e *PublishError) Unwrap() []error { return []error{e.Outcome, e.Cause} }

// GapError is an [ErrGap]: the follower had applied After, and the next record
// that the log holds is First.
type GapError struct {
	After, First Position
	// Retained is the first position that the log held.
	Retained Position
}

// Hole reports whether records are missing in the middle of the log, rather
// than trimmed at its beginning: the one that the follower would have begun
// behind is not the oldest that is left.
func (e *GapError) Hole() bool { return e.Retained <= e.After }

func (e *GapError) Error() string {
	what := "was trimmed"
	if e.Hole() {
		what = fmt.Sprintf("begins at %d and has a hole", e.Retained)
	}
	return fmt.Sprintf("%v: applied %d, next is %d: it %s", ErrGap, e.After, e.First, what)
}

func (e *GapError) Unwrap() error { return ErrGap }

// HistoryError is an [ErrHistoryChanged] and its evidence.
type HistoryError struct {
	// At is the position whose record is not what it was.
	At Position
	// Evidence says what was expected there and what was found.
	Evidence string
}

func (e *HistoryError) Error() string {
	return fmt.Sprintf("%v: at position %d: %s", ErrHistoryChanged, e.At, e.Evidence)
}

func (e *HistoryError) Unwrap() error { return ErrHistoryChanged }
