package client

import (
	"context"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// BracketID names a bracketed write.
type BracketID = events.BracketID

// ParseBracketID reads 32 hexadecimal digits, as lists of brackets show them.
func ParseBracketID(s string) (BracketID, error) { return events.ParseBracketID(s) }

// Bracketed runs fn, which commits a change in the database, such that readers
// and the database agree at every instant, which no invalidation after the
// commit can do: before fn starts, every copy that i covers is dead on every
// node, and until it has ended covered reads go to their loaders, past the
// cache. Slow (it waits for every member) and exact.
//
// fn gets the bracket's id, for an abort marker in the same database: package
// sqlbracket does all of it for database/sql. If this process dies inside, the
// bracket stays open until somebody resolves it; timeout is when that may
// begin. It stays open, too, if fn returns an error that wraps [ErrUnsettled].
func (c *Client) Bracketed(ctx context.Context, i Invalidation, timeout time.Duration, fn func(ctx context.Context, bracket BracketID) error) (Token, error) {
	return c.node.Bracketed(ctx, i.scope(), timeout, fn)
}

// BracketOptions go with a bracketed write.
type BracketOptions = node.BracketOptions

// BracketedBy is [Client.Bracketed] with options.
func (c *Client) BracketedBy(ctx context.Context, i Invalidation, o BracketOptions, fn func(ctx context.Context, bracket BracketID) error) (Token, error) {
	return c.node.BracketedBy(ctx, i.scope(), o, fn)
}

// OpenBracket is a bracketed write that has not ended.
type OpenBracket struct {
	ID BracketID
	// Covers is what it fences.
	Covers Invalidation
	// Age is how long it has been open. Deadline is when others may begin to
	// resolve it, and Overdue says that it has passed: the writer has probably
	// died.
	Age      time.Duration
	Deadline time.Time
	Overdue  bool
	// Writer is the node that opened it; Decider what decides whether it can
	// still commit. Both may be unknown, and empty.
	Writer, Decider string
}

// Brackets returns the brackets that are open as far as this node knows, the
// oldest first.
func (c *Client) Brackets() []OpenBracket {
	byID := make(map[BracketID]int)
	var out []OpenBracket
	for _, b := range c.node.Brackets() {
		at, known := byID[b.ID]
		if !known {
			at = len(out)
			byID[b.ID] = at
			out = append(out, OpenBracket{ID: b.ID, Deadline: time.UnixMilli(b.Deadline), Writer: string(b.Writer), Decider: b.Decider})
		}
		o := &out[at]
		o.Age, o.Overdue = max(o.Age, b.Age), o.Overdue || b.Overdue
		o.Covers.Keys = append(o.Covers.Keys, b.Scope.Keys...)
		if !known {
			// Every partition has these.
			o.Covers.Tags, o.Covers.Prefixes, o.Covers.Globs, o.Covers.All = b.Scope.Tags, b.Scope.Prefixes, b.Scope.Globs, b.Scope.All
		}
	}
	slices.SortFunc(out, func(a, b OpenBracket) int { return int((b.Age - a.Age) / time.Millisecond) })
	return out
}

// EndBracket ends a bracket in its writer's stead. Whoever calls it must have
// made the writer's commit impossible, as sqlbracket does: a bracket that ends
// too early leaves a stale copy until the next fence. [ErrNotFound]: no such
// bracket is open.
func (c *Client) EndBracket(ctx context.Context, id BracketID) (Token, error) {
	return c.node.EndBracket(ctx, id)
}
