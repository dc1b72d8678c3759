package jslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

// Last returns the mark of the newest record of a partition, for who follows
// only what comes after; the zero Mark if none is retained.
//
// Whoever keeps copies must not begin here: what the records before it killed
// would live.
func (d *Domain) Last(ctx context.Context, partition int) (events.Mark, error) {
	p := d.logs[partition]
	s, err := p.js.Stream(ctx, p.want.Name)
	if err != nil {
		return events.Mark{}, fmt.Errorf("look up stream %s: %w", p.want.Name, err)
	}
	return markOf(s.GetLastMsgForSubject(ctx, p.want.Subjects[0]))
}

// MarkAt returns the mark of the record at a position; the zero Mark if it is
// not retained.
func (d *Domain) MarkAt(ctx context.Context, partition int, at events.Position) (events.Mark, error) {
	p := d.logs[partition]
	s, err := p.js.Stream(ctx, p.want.Name)
	if err != nil {
		return events.Mark{}, fmt.Errorf("look up stream %s: %w", p.want.Name, err)
	}
	return markOf(s.GetMsg(ctx, uint64(at)))
}

func markOf(m *jetstream.RawStreamMsg, err error) (events.Mark, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return events.Mark{}, nil
	}
	if err != nil {
		return events.Mark{}, fmt.Errorf("read a record: %w", err)
	}
	id, err := events.ParseID(m.Header.Get(jetstream.MsgIDHeader))
	if err != nil {
		id = events.ForeignID(m.Data)
	}
	return events.Mark{Position: events.Position(m.Sequence), ID: id, Time: m.Time.UnixNano()}, nil
}
