package snapshot

import (
	"context"
	"io"
	"time"
)

// Store keeps objects by name. Names are of letters, digits, '.', '_', '-' and,
// between the parts of a path, '/'. Implementations are safe for concurrent use
// by any number of processes, and pass the suite in storetest.
type Store interface {
	// Put keeps what r yields under name. The object is there whole and durable
	// when Put returns nil, and not to be seen at all before; after an error or
	// the process's end, what was under name before still is, or nothing. An
	// error of r's is returned.
	Put(ctx context.Context, name string, r io.Reader) error
	// Get returns an object's bytes from the first, for the caller to close. It
	// returns [ErrNotFound] if there is none, at the latest from the first Read.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List returns the names that begin with prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
	// Remove removes an object. One that is not there is no error.
	Remove(ctx context.Context, name string) error
}

// Sweeper is a [Store] in which a Put that was cut off, because its process died,
// leaves bytes that List does not show.
type Sweeper interface {
	// Sweep removes what is left of Puts under prefix of which nothing was heard
	// since before, and returns how many there were. Where the bytes have lost
	// their names the prefix does not matter.
	Sweep(ctx context.Context, prefix string, before time.Time) (swept int, err error)
}
