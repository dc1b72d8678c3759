package sqlbracket

import (
	"context"
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/pkg/client"
)

// Resolve ends a bracket in its writer's stead: once it has made the commit
// impossible, or found that it has happened, and so at any time, whether the
// writer lives or not. It says which of the two it was.
//
// Errors: client.ErrNotFound (no such bracket is open), [ErrForeign],
// [ErrRunning], those of the database, and those of the bracket's end. Calling
// it again is always safe.
func (m *Markers) Resolve(ctx context.Context, c Cache, id client.BracketID) (Outcome, error) {
	for _, b := range c.Brackets() {
		if b.ID == id {
			return m.resolve(ctx, c, b)
		}
	}
	return "", fmt.Errorf("sqlbracket: bracket %s: %w", id, client.ErrNotFound)
}

func (m *Markers) resolve(ctx context.Context, c Cache, b client.OpenBracket) (Outcome, error) {
	if b.Decider != m.decider {
		return "", fmt.Errorf("sqlbracket: bracket %s: %w: it is decided by %q, this is %q", b.ID, ErrForeign, b.Decider, m.decider)
	}
	outcome, err := m.settle(ctx, b.ID)
	if err != nil {
		return "", err
	}
	if _, err := c.EndBracket(ctx, b.ID); err != nil && !errors.Is(err, client.ErrNotFound) {
		return outcome, err
	}
	return outcome, nil
}

// Resolution is what became of one bracket; Outcome is empty if Err is set and
// the write is not decided.
type Resolution struct {
	ID      client.BracketID
	Outcome Outcome
	Err     error
}

// ResolveOverdue resolves every bracket of this database whose deadline has
// passed. Any number of processes may call it, now and then.
func (m *Markers) ResolveOverdue(ctx context.Context, c Cache) []Resolution {
	var out []Resolution
	for _, b := range c.Brackets() {
		if b.Overdue && b.Decider == m.decider {
			outcome, err := m.resolve(ctx, c, b)
			out = append(out, Resolution{ID: b.ID, Outcome: outcome, Err: err})
		}
	}
	return out
}

// Prune deletes markers that nobody needs any more: older than twice
// [Options].Life, and of no open bracket that c knows. It returns how many.
// Every Markers of the database must have been given the same Life.
func (m *Markers) Prune(ctx context.Context, c Cache) (int64, error) {
	open := make(map[string]bool)
	for _, b := range c.Brackets() {
		open[b.ID.String()] = true
	}
	now, err := m.clock(ctx)
	if err != nil {
		return 0, fmt.Errorf("sqlbracket: prune: %w", err)
	}
	rows, err := m.db.QueryContext(ctx, m.dialect.sql(`SELECT id FROM `+table+` WHERE at < {1} AND id <> {2}`), now-2*m.o.Life.Milliseconds(), nameRow)
	if err != nil {
		return 0, fmt.Errorf("sqlbracket: prune: %w", err)
	}
	defer rows.Close()
	var old []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return 0, fmt.Errorf("sqlbracket: prune: %w", err)
		}
		if !open[id] {
			old = append(old, id)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("sqlbracket: prune: %w", err)
	}
	var n int64
	for _, id := range old {
		r, err := m.db.ExecContext(ctx, m.dialect.sql(`DELETE FROM `+table+` WHERE id = {1}`), id)
		if err != nil {
			return n, fmt.Errorf("sqlbracket: prune: %w", err)
		}
		one, _ := r.RowsAffected() // drivers of both dialects know it
		n += one
	}
	return n, nil
}
