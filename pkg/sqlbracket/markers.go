package sqlbracket

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/pkg/client"
)

var (
	// ErrAborted reports a write that can't commit any more: somebody has
	// resolved its bracket, or it took longer than [Options].Life.
	ErrAborted = errors.New("the bracket was resolved; its transaction can't commit")
	// ErrRunning reports a bracket whose writer's transaction has neither
	// committed nor ended: nobody can resolve it yet. Ending the writer's
	// session in the database helps.
	ErrRunning = errors.New("the writer's transaction is still running")
	// ErrForeign reports a bracket whose outcome is not decided by this table.
	// A marker in it would prove nothing.
	ErrForeign = errors.New("the bracket is not of this database")
)

// Cache is what brackets are kept with: a *client.Client.
type Cache interface {
	BracketedBy(ctx context.Context, covers client.Invalidation, o client.BracketOptions, fn func(ctx context.Context, id client.BracketID) error) (client.Token, error)
	EndBracket(ctx context.Context, id client.BracketID) (client.Token, error)
	Brackets() []client.OpenBracket
}

var _ Cache = (*client.Client)(nil)

// Options shape brackets and their resolution. The zero value of every field
// means its default.
type Options struct {
	// Timeout is when others may begin to resolve a bracket, from its
	// beginning. Default 30 s. Shorter: a slow writer is aborted. Longer: reads
	// go to the database longer after a writer has died.
	Timeout time.Duration
	// Life is how long after its bracket's beginning a transaction may still
	// write its marker, by the database's clock. Default 1 h. Markers are kept
	// for twice as long at least: a writer that was stopped for days must not
	// find the marker gone that aborted it.
	Life time.Duration
	// Wait is how long to wait for a transaction that is about to end when its
	// bracket is resolved. Default 2 s. SQLite waits for as long as the
	// connection's busy_timeout says.
	Wait time.Duration
	// Tx are the options of the writers' transactions.
	Tx *sql.TxOptions
}

func (o Options) withDefaults() Options {
	for _, of := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Timeout, 30 * time.Second}, {&o.Life, time.Hour}, {&o.Wait, 2 * time.Second}} {
		if *of.field <= 0 {
			*of.field = of.value
		}
	}
	return o
}

// Markers is the table of markers of one database. Its methods are safe for
// concurrent use.
type Markers struct {
	db      *sql.DB
	dialect Dialect
	o       Options
	// decider names the table in brackets, so that no other one decides them.
	decider string
}

// Open returns the markers of a database whose table [Dialect.Schema] has made.
// The table gets a random name of its own at the first Open. db stays the
// caller's.
func Open(ctx context.Context, db *sql.DB, d Dialect, o Options) (*Markers, error) {
	m := &Markers{db: db, dialect: d, o: o.withDefaults()}
	if _, err := db.ExecContext(ctx, d.sql(`INSERT INTO `+table+` (id, outcome, at) VALUES ({1}, {2}, {now}) ON CONFLICT (id) DO NOTHING`), nameRow, rand.Text()); err != nil {
		return nil, fmt.Errorf("sqlbracket: open %s (was it made, by Dialect.Schema?): %w", table, err)
	}
	var name string
	if err := db.QueryRowContext(ctx, d.sql(`SELECT outcome FROM `+table+` WHERE id = {1}`), nameRow).Scan(&name); err != nil {
		return nil, fmt.Errorf("sqlbracket: read the name of %s: %w", table, err)
	}
	m.decider = d.name + ":" + name
	return m, nil
}

// Decider returns the name by which brackets say that this table decides them.
func (m *Markers) Decider() string { return m.decider }

// Outcome is what became of a bracketed write.
type Outcome string

// The outcomes, as the table holds them.
const (
	Committed Outcome = "committed"
	Aborted   Outcome = "aborted"
)

// clock reads the database's clock.
func (m *Markers) clock(ctx context.Context) (ms int64, err error) {
	err = m.db.QueryRowContext(ctx, m.dialect.sql(`SELECT {now}`)).Scan(&ms)
	return ms, err
}

// mark inserts the writer's marker into its transaction, unless the bracket was
// resolved, or the transaction comes too late.
func (m *Markers) mark(ctx context.Context, tx *sql.Tx, id client.BracketID, latest int64) error {
	r, err := tx.ExecContext(ctx, m.dialect.sql(`INSERT INTO `+table+` (id, outcome, at)
		SELECT {1}, {2}, {now} WHERE {now} <= {3} ON CONFLICT (id) DO NOTHING`), id.String(), string(Committed), latest)
	if err != nil {
		return fmt.Errorf("insert the bracket's marker: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		if mutant.On(mutant.AbortMarkerIgnored) {
			return nil
		}
		return errors.Join(ErrAborted, err)
	}
	return nil
}

// settle makes the writer's commit impossible, or finds that it has happened.
func (m *Markers) settle(ctx context.Context, id client.BracketID) (Outcome, error) {
	if mutant.On(mutant.ResolvedWithoutMarker) {
		return Aborted, nil
	}
	tx, err := m.db.BeginTx(ctx, &sql.TxOptions{Isolation: m.dialect.isolation})
	if err != nil {
		return "", m.unsettled(err)
	}
	defer tx.Rollback() // without effect behind a commit
	for _, s := range m.dialect.resolving(m.o.Wait) {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return "", m.unsettled(err)
		}
	}
	r, err := tx.ExecContext(ctx, m.dialect.sql(`INSERT INTO `+table+` (id, outcome, at) VALUES ({1}, {2}, {now}) ON CONFLICT (id) DO NOTHING`), id.String(), string(Aborted))
	if err != nil {
		return "", m.unsettled(err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return "", m.unsettled(err)
	}
	if n == 1 {
		if err := tx.Commit(); err != nil {
			return "", m.unsettled(err)
		}
		return Aborted, nil
	}
	var outcome Outcome
	if err := tx.QueryRowContext(ctx, m.dialect.sql(`SELECT outcome FROM `+table+` WHERE id = {1}`), id.String()).Scan(&outcome); err != nil {
		return "", m.unsettled(err)
	}
	if outcome != Committed && outcome != Aborted {
		return "", fmt.Errorf("sqlbracket: marker of bracket %s says %q, want %s or %s", id, outcome, Committed, Aborted)
	}
	return outcome, nil
}

func (m *Markers) unsettled(err error) error {
	if m.dialect.busy(err) {
		err = errors.Join(ErrRunning, err)
	}
	return fmt.Errorf("sqlbracket: settle: %w", err)
}
