package sqloutbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/pkg/client"
)

// Cache delivers: a *client.Client.
type Cache interface {
	Publish(ctx context.Context, e client.DomainEvent) error
	InvalidateMany(ctx context.Context, all []client.Invalidation, opts ...client.WriteOption) (client.Token, error)
	OutboxStats() (client.OutboxStats, bool)
}

var _ Cache = (*client.Client)(nil)

// ErrClientOutbox reports a client with an outbox of its own. It would take what
// it is given onto its disk and say that it is done; the row, which every
// process of the service can deliver, would be gone.
var ErrClientOutbox = errors.New("the relay's client must not have an outbox of its own")

// Relay delivers rows until ctx ends; then it returns nil. It returns an error
// only for a client that won't do ([ErrClientOutbox]); what may pass is tried
// again.
func (x *Outbox) Relay(ctx context.Context, cache Cache) error {
	if _, has := cache.OutboxStats(); has {
		return ErrClientOutbox
	}
	wait := x.o.Every
	for {
		n, err := x.Deliver(ctx, cache)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			x.o.Logger.WarnContext(ctx, "rows of the outbox can't be delivered at the moment", "again in", wait, "error", err)
		case n == x.o.Batch:
			wait = x.o.Every
			continue // there are more
		default:
			wait = x.o.Every
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-x.wake:
			t.Stop()
		}
		if err != nil {
			wait = min(2*wait, x.o.MaxBackoff)
		}
	}
}

type row struct {
	id   int64
	kind string
	body []byte
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Deliver delivers one batch of rows, and returns how many are done. It is what
// [Outbox.Relay] does again and again, for those who relay at times of their
// own.
func (x *Outbox) Deliver(ctx context.Context, cache Cache) (done int, err error) {
	ctx, cancel := context.WithTimeout(ctx, x.o.Timeout)
	defer cancel()
	if !x.dialect.locks {
		return x.deliver(ctx, x.db, cache)
	}
	// The rows are this relay's as long as the transaction lives. If this
	// process dies, the database gives them to the others.
	tx, err := x.db.BeginTx(ctx, &sql.TxOptions{Isolation: x.dialect.visibility})
	if err != nil {
		return 0, fmt.Errorf("sqloutbox: %w", err)
	}
	defer tx.Rollback() // without effect behind a commit
	done, err = x.deliver(ctx, tx, cache)
	// What was delivered goes, even if something else failed.
	if commit := tx.Commit(); commit != nil {
		return 0, errors.Join(err, fmt.Errorf("sqloutbox: %w", commit))
	}
	return done, err
}

func (x *Outbox) deliver(ctx context.Context, q queryer, cache Cache) (done int, err error) {
	rows, err := x.take(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("sqloutbox: take rows: %w", err)
	}
	if mutant.On(mutant.OutboxRowDroppedEarly) {
		for _, r := range rows {
			_ = x.settle(ctx, x.db, r, nil)
		}
	}
	results := make([]error, len(rows))
	var g errgroup.Group
	g.SetLimit(x.o.Workers)
	for i, r := range rows {
		g.Go(func() error {
			results[i] = handOver(ctx, cache, r)
			return nil
		})
	}
	_ = g.Wait() // the results say what failed
	var faults []error
	for i, r := range rows {
		if err := results[i]; err != nil && !refused(err) {
			faults = append(faults, err)
			continue
		}
		if err := x.settle(ctx, q, r, results[i]); err != nil {
			return done, errors.Join(append(faults, fmt.Errorf("sqloutbox: %w", err))...)
		}
		done++
	}
	return done, errors.Join(faults...)
}

func (x *Outbox) take(ctx context.Context, q queryer) ([]row, error) {
	found, err := q.QueryContext(ctx, fmt.Sprintf(`SELECT id, kind, body FROM %s WHERE refused IS NULL ORDER BY id LIMIT %d%s`, table, x.o.Batch, x.dialect.claim))
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []row
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.kind, &r.body); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, found.Err()
}

// settle removes a row that was delivered, or keeps it with why it never will
// be.
func (x *Outbox) settle(ctx context.Context, q queryer, r row, why error) error {
	if why == nil {
		_, err := q.ExecContext(ctx, x.dialect.sql(`DELETE FROM `+table+` WHERE id = {1}`), r.id)
		return err
	}
	x.o.Logger.ErrorContext(ctx, "a row of the outbox was refused for good; it stays in the table", "table", table, "id", r.id, "error", why)
	_, err := q.ExecContext(ctx, x.dialect.sql(`UPDATE `+table+` SET refused = {1} WHERE id = {2}`), why.Error(), r.id)
	return err
}

// handOver returns nil once the row's content needs to be kept no longer.
func handOver(ctx context.Context, cache Cache, r row) error {
	switch r.kind {
	case kindEvent:
		var e event
		if err := json.Unmarshal(r.body, &e); err != nil {
			return fmt.Errorf("%w: row %d: %w", client.ErrInvalid, r.id, err)
		}
		out := client.DomainEvent{Type: e.Type, Source: e.Source, ID: e.ID, Subject: e.Subject, Time: e.Time, TraceParent: e.TraceParent}
		if len(e.Data) > 0 {
			out.Data = e.Data
		}
		return cache.Publish(ctx, out)
	case kindInvalidation:
		record, err := events.DecodeRecord(r.body)
		if err != nil {
			return fmt.Errorf("%w: row %d: %w", client.ErrInvalid, r.id, err)
		}
		var all []client.Invalidation
		for _, change := range record.Changes {
			i, ok := change.(*events.Invalidate)
			if !ok {
				return fmt.Errorf("%w: row %d holds %T", client.ErrInvalid, r.id, change)
			}
			all = append(all, client.Invalidation{
				Keys: i.Scope.Keys, Tags: i.Scope.Tags, Prefixes: i.Scope.Prefixes, Globs: i.Scope.Globs, All: i.Scope.All,
				Soft: i.Soft, Source: i.Source,
			})
		}
		// It returns once the record is applied here and the witness covers it:
		// before that, a log that loses its tail would lose it for good (H6).
		_, err = cache.InvalidateMany(ctx, all)
		return err
	}
	return fmt.Errorf("%w: row %d is of kind %q, which this build does not know", client.ErrInvalid, r.id, r.kind)
}
