package tiers

import (
	"context"
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
)

// Tier holds encoded entries by key. All methods are safe for concurrent use.
//
// A tier checks what it can check alone: that the bytes are whole, that the
// key is the one asked for, and that the entry has not expired. Whether the
// copy is alive is for the caller to judge.
type Tier interface {
	// Get returns the entry stored under key, in dst if its capacity suffices
	// and in new memory otherwise; the result belongs to the caller. It
	// returns [ErrMiss] if there is none, if it has expired, or if it proved
	// corrupt or foreign (which the tier counts and, where it can, removes),
	// and [ErrUnavailable] if the tier could not be asked.
	Get(ctx context.Context, key string, dst []byte) (Entry, error)

	// Put stores e under its key, unless the tier knows a newer birth or a
	// fence of the key in e's epoch: then it returns [ErrOutdated]. Whatever
	// error it returns, no older copy of the key stays behind where the tier
	// can help it. [ErrTooLarge] reports an entry that this tier never takes.
	// The tier does not keep e.
	Put(ctx context.Context, e Entry) error

	// Remove drops the copies of keys.
	Remove(ctx context.Context, keys ...string) error

	// Clear drops every copy.
	Clear(ctx context.Context) error
}

var (
	// ErrMiss reports that the tier has no usable copy.
	ErrMiss = errors.New("miss")
	// ErrOutdated reports a copy older than what the tier knows of its key.
	ErrOutdated = errors.New("copy is outdated")
	// ErrTooLarge reports an entry larger than the tier takes.
	ErrTooLarge = errors.New("entry is too large for the tier")
	// ErrUnavailable reports a tier that can't be asked now: a broken
	// connection, an open breaker, a failed disk. The caller goes on without
	// it.
	ErrUnavailable = errors.New("tier is unavailable")
	// ErrStalled is the ErrUnavailable of a disk that takes no copies for a
	// moment, because it is behind with its own work: it is not lost.
	ErrStalled = fmt.Errorf("%w: writes are stalled", ErrUnavailable)
)

// Fence is what a tier that keeps fences beside its copies (L3) knows of a
// key: copies born before Hard are dead, copies born before Soft may serve as
// a marked fallback only. Soft >= Hard.
type Fence struct {
	Hard, Soft events.Position
}
