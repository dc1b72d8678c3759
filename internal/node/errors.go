package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
)

var (
	// ErrNotFound reports that no tier holds a live copy and no loader was
	// given, or that the origin has no such value.
	ErrNotFound = errors.New("not found")
	// ErrNotServing reports a node that may not answer from its copies now: it
	// is cut off from the log, has not caught up, or is stopping.
	ErrNotServing = errors.New("node does not serve")
	// ErrTooLarge reports a value beyond the limit.
	ErrTooLarge = errors.New("value is too large")
	// ErrRefused reports a value that [Config].Validate does not want cached.
	ErrRefused = errors.New("value was refused")
	// ErrCycle reports a loader that reads the key that it loads.
	ErrCycle = errors.New("loader reads its own key")
	// ErrUnsettled reports a bracketed write whose commit may still happen: the
	// bracket stays open.
	ErrUnsettled = errors.New("it is not known whether the commit will happen")
	// ErrOriginSlow reports a load that a reader did not wait for any longer; it
	// goes on. It is a context.DeadlineExceeded too.
	ErrOriginSlow = fmt.Errorf("origin did not answer in time: %w", context.DeadlineExceeded)
	// ErrNotModified reports a loader that calls a value unchanged of which it was
	// told none.
	ErrNotModified = errors.New("loader says not modified, and was told of no value")
	// ErrOverloaded reports that a bounded queue is full.
	ErrOverloaded = events.ErrOverloaded
)

// Error says what failed, on what, and what may help.
type Error struct {
	Op  string // "get", "put", "invalidate", …
	Key string // empty where an operation has none
	// Position is where a record landed although the operation failed; 0 if
	// none did.
	Position events.Position
	Hint     string
	Err      error
}

func (e *Error) Error() string {
	s := e.Op
	if e.Key != "" {
		s += fmt.Sprintf(" %q", e.Key)
	}
	s += ": " + e.Err.Error()
	if e.Position != 0 {
		s += fmt.Sprintf(" (record landed at %d)", e.Position)
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
