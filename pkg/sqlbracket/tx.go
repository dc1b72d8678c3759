package sqlbracket

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// settleTimeout bounds how long a writer tries to learn what became of its own
// commit. Beyond it the bracket stays open, and others resolve it.
const settleTimeout = 10 * time.Second

// Tx runs fn in a transaction, and commits it, within a bracket around what
// covers names. fn must not commit or roll back itself, and must not keep tx.
//
// If it returns nil, fn's changes are committed, and the token stands behind
// the bracket's end. [ErrAborted]: nothing was committed, for somebody has
// resolved the bracket. client.ErrUnsettled: it could not be learnt whether the
// commit happened, or may still; the bracket stays open until somebody does
// ([Markers.Resolve]). Any other error: nothing was committed, unless it is
// about the bracket's end (client.ErrIndeterminate), which comes after the
// commit.
func (m *Markers) Tx(ctx context.Context, c Cache, covers client.Invalidation, fn func(ctx context.Context, tx *sql.Tx) error) (client.Token, error) {
	// Before the bracket begins, so that no marker of an abort is older.
	began, err := m.clock(ctx)
	if err != nil {
		return client.Token{}, fmt.Errorf("sqlbracket: read the database's clock: %w", err)
	}
	latest := began + m.o.Life.Milliseconds()
	o := client.BracketOptions{Timeout: m.o.Timeout, Decider: m.decider}
	return c.BracketedBy(ctx, covers, o, func(ctx context.Context, id client.BracketID) error {
		return m.commit(ctx, id, latest, fn)
	})
}

func (m *Markers) commit(ctx context.Context, id client.BracketID, latest int64, fn func(context.Context, *sql.Tx) error) error {
	conn, err := m.db.Conn(ctx)
	if err != nil {
		return err
	}
	failed := m.attempt(ctx, conn, id, latest, fn)
	var unknown *unknownCommit
	if !errors.As(failed, &unknown) {
		// Errors of a connection that has nothing left to say are nobody's.
		_ = conn.Close()
		return failed
	}
	// A COMMIT that was refused may leave its transaction open (SQLite), and
	// one whose answer was lost may still be at work. The connection must not
	// serve anybody else.
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()

	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	switch outcome, err := m.settle(settling, id); {
	case err != nil:
		return errors.Join(client.ErrUnsettled, failed, err)
	case outcome == Committed:
		return nil // only the answer was lost
	default:
		return failed
	}
}

// unknownCommit is a COMMIT that failed: it may have happened all the same.
type unknownCommit struct{ err error }

func (e *unknownCommit) Error() string { return "commit: " + e.err.Error() }
func (e *unknownCommit) Unwrap() error { return e.err }

// attempt runs the transaction. Where it panics, or fails before COMMIT, the
// transaction is rolled back, if only by the end of its connection.
func (m *Markers) attempt(ctx context.Context, conn *sql.Conn, id client.BracketID, latest int64, fn func(context.Context, *sql.Tx) error) error {
	tx, err := conn.BeginTx(ctx, m.o.Tx)
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect behind a commit
	if err := m.mark(ctx, tx, id, latest); err != nil {
		return err
	}
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return &unknownCommit{err}
	}
	return nil
}
