package jslog

import (
	"context"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
)

// Retained is what a partition's log holds, for those who read it rather than
// follow it. It is safe for concurrent use.
type Retained struct {
	domain    *Domain
	partition int
}

// Retained returns the reader of a partition, 0 to Settings().Partitions - 1.
func (d *Domain) Retained(partition int) Retained { return Retained{d, partition} }

// Bounds returns the marks of the first and the last record that is held; zero
// Marks if none is. The first may be trimmed at any moment.
func (r Retained) Bounds(ctx context.Context) (first, last events.Mark, err error) {
	p := r.domain.logs[r.partition]
	for {
		info, err := p.info(ctx)
		if err != nil {
			return first, last, fmt.Errorf("bounds of partition %d: %w", r.partition, err)
		}
		if info.State.Msgs == 0 {
			return first, last, nil
		}
		if last, err = r.MarkAt(ctx, events.Position(info.State.LastSeq)); err != nil {
			return first, last, err
		}
		first, err = r.MarkAt(ctx, events.Position(info.State.FirstSeq))
		if err != nil || first.Position != 0 && last.Position != 0 {
			return first, last, err
		}
		// Trimmed in between: the log says anew what it holds.
	}
}

// MarkAt returns the mark of the record at a position; the zero Mark if it is
// not held.
func (r Retained) MarkAt(ctx context.Context, at events.Position) (events.Mark, error) {
	return r.domain.MarkAt(ctx, r.partition, at)
}

// Read is [events.Log.Read].
func (r Retained) Read(ctx context.Context, first, last events.Position, sink events.Sink) error {
	return r.domain.Log(r.partition).Read(ctx, first, last, sink)
}
