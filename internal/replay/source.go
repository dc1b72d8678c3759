package replay

import (
	"context"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
)

// Source is one partition's records, as a log or an archive holds them. Its
// methods are safe for concurrent use.
type Source interface {
	// Bounds returns the marks of the first and the last record that is held;
	// zero Marks if none is.
	Bounds(ctx context.Context) (first, last events.Mark, err error)
	// MarkAt returns the mark of the record at a position; the zero Mark if it
	// is not held.
	MarkAt(ctx context.Context, at events.Position) (events.Mark, error)
	// Read calls sink with the records from first to last, in order, as
	// [events.Log.Read] does. Both must be held. The batch is reused after sink
	// returned; each Data stays valid and must not be changed.
	Read(ctx context.Context, first, last events.Position, sink events.Sink) error
}

// Range is the records of one partition from First to Last, both included.
type Range struct {
	Partition   int
	First, Last events.Position
}

// Len returns how many positions the range spans.
func (r Range) Len() uint64 {
	if r.Last < r.First {
		return 0
	}
	return uint64(r.Last-r.First) + 1
}

// Resolve returns the range of a partition from one place to another. Where
// nothing lies in between it is empty.
//
// A place before the first record that is held means that record, and one
// behind the last means the last: what is gone can't be read, and what is to
// come is not waited for.
func Resolve(ctx context.Context, partition int, s Source, from, to Place) (Range, error) {
	r := Range{Partition: partition, First: 1}
	first, last, err := s.Bounds(ctx)
	if err != nil || last.Position == 0 {
		return r, err
	}
	if r.First, err = from.begin(ctx, s, first, last); err != nil {
		return r, fmt.Errorf("find where to begin in partition %d: %w", partition, err)
	}
	if r.Last, err = to.end(ctx, s, first, last); err != nil {
		return r, fmt.Errorf("find where to end in partition %d: %w", partition, err)
	}
	return r, nil
}
