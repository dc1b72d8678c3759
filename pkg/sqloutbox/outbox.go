package sqloutbox

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
)

// Options shape an outbox. The zero value of every field means its default.
type Options struct {
	// Every is how often a relay looks for rows. Default 250 ms. Shorter:
	// less delay where nobody calls [Outbox.Nudge], and more queries.
	Every time.Duration
	// Batch is how many rows are taken at a time, and Workers how many of them
	// are delivered at once. Defaults 256 and 32.
	Batch, Workers int
	// Timeout bounds the delivery of a batch; on PostgreSQL its rows are locked
	// that long at most. Default 10 s.
	Timeout time.Duration
	// MaxBackoff bounds the wait after a batch of which something failed, which
	// doubles from Every on. Default 10 s.
	MaxBackoff time.Duration
	// Logger is told of deliveries that fail. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Every = cmp.Or(o.Every, 250*time.Millisecond)
	o.Batch = cmp.Or(o.Batch, 256)
	o.Workers = cmp.Or(o.Workers, 32)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 10*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return o
}

// Outbox is the table of one database. Its methods are safe for concurrent use.
type Outbox struct {
	db      *sql.DB
	dialect Dialect
	o       Options
	wake    chan struct{}
}

// New returns the outbox of a database whose table [Dialect.Schema] has made.
// db stays the caller's.
func New(db *sql.DB, d Dialect, o Options) *Outbox {
	return &Outbox{db: db, dialect: d, o: o.withDefaults(), wake: make(chan struct{}, 1)}
}

// Tx is the caller's transaction: a *sql.Tx.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// What a row holds.
const (
	kindEvent        = "event"
	kindInvalidation = "invalidation"
)

// event is an event's row. The data stays as it was encoded.
type event struct {
	Type        string          `json:"type"`
	Source      string          `json:"source,omitempty"`
	ID          string          `json:"id"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	Data        json.RawMessage `json:"data,omitempty"`
	TraceParent string          `json:"traceparent,omitempty"`
}

// Enqueue puts domain events into the caller's transaction: they are published
// if it commits, and only then. Errors: [client.ErrInvalid] for an event that
// can't be published, and the database's.
func (x *Outbox) Enqueue(ctx context.Context, tx Tx, all ...client.DomainEvent) error {
	for _, e := range all {
		if err := e.Validate(); err != nil {
			return fmt.Errorf("sqloutbox: %w", err)
		}
		row := event{Type: e.Type, Source: e.Source, ID: e.ID, Subject: e.Subject, Time: e.Time, TraceParent: e.TraceParent}
		if row.ID == "" {
			row.ID = ulid.Make().String() // one id, however often it is delivered
		}
		if row.Time.IsZero() {
			row.Time = time.Now()
		}
		if e.Data != nil {
			data, err := json.Marshal(e.Data)
			if err != nil {
				return fmt.Errorf("sqloutbox: event %s: %w: data: %w", e.Type, client.ErrInvalid, err)
			}
			row.Data = data
		}
		body, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("sqloutbox: event %s: %w", e.Type, err)
		}
		if err := x.insert(ctx, tx, kindEvent, body); err != nil {
			return err
		}
	}
	return nil
}

// Invalidate puts invalidations, which land as one record, into the caller's
// transaction: what they cover dies after the commit. Errors:
// [client.ErrInvalid], [client.ErrRecordTooLarge], and the database's.
func (x *Outbox) Invalidate(ctx context.Context, tx Tx, all ...client.Invalidation) error {
	var r events.Record
	for _, i := range all {
		r.Changes = append(r.Changes, &events.Invalidate{
			Scope: events.Scope{Keys: i.Keys, Tags: i.Tags, Prefixes: i.Prefixes, Globs: i.Globs, All: i.All},
			Soft:  i.Soft, Source: i.Source,
		})
	}
	body, err := events.AppendRecord(nil, r) // names may be any bytes
	if err != nil {
		return fmt.Errorf("sqloutbox: invalidate: %w", err)
	}
	return x.insert(ctx, tx, kindInvalidation, body)
}

func (x *Outbox) insert(ctx context.Context, tx Tx, kind string, body []byte) error {
	_, err := tx.ExecContext(ctx, x.dialect.sql(`INSERT INTO `+table+` (kind, body, at) VALUES ({1}, {2}, {3})`), kind, body, time.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("sqloutbox: insert into %s (was it made, by Dialect.Schema?): %w", table, err)
	}
	return nil
}

// Nudge has this process's relay look now. Call it after a commit.
func (x *Outbox) Nudge() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Stats are what the table holds.
type Stats struct {
	// Waiting rows are not delivered yet; Refused ones never will be.
	Waiting, Refused int64
	// Oldest is when the oldest waiting row was enqueued, by its writer's clock;
	// zero if none is.
	Oldest time.Time
}

// Stats asks the database.
func (x *Outbox) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	var oldest sql.NullInt64
	err := x.db.QueryRowContext(ctx, `SELECT COUNT(*) - COUNT(refused), COUNT(refused), MIN(CASE WHEN refused IS NULL THEN at END) FROM `+table).
		Scan(&s.Waiting, &s.Refused, &oldest)
	if err != nil {
		return s, fmt.Errorf("sqloutbox: %w", err)
	}
	if oldest.Valid {
		s.Oldest = time.UnixMilli(oldest.Int64)
	}
	return s, nil
}

// refused reports an error that no repetition mends.
func refused(err error) bool {
	return errors.Is(err, client.ErrInvalid) || errors.Is(err, client.ErrRecordTooLarge)
}
