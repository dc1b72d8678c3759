package node

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// ReadOptions say how a read is to be answered. The zero value: at the
// domain's default level, from the cache only.
type ReadOptions struct {
	Level consistency.Level
	// Load asks the origin when no tier has a live copy. Nil: the read misses.
	Load Loader
	// LoadAlone: don't wait for, or answer to, other nodes' loads of the key.
	LoadAlone bool
	// Fallback says when a copy behind a soft fence will do.
	Fallback Fallback

	// inVain: the node is behind what the read's level demands, so that it can't
	// tell a loader which changes there were (P3).
	inVain bool
}

// Loader asks the origin for a key. It must read what was committed before it
// was called (not in a transaction of its caller's, not from a replica that
// lags): its value's birth is taken before the call. ctx carries the load, so
// that cached reads within it lower the birth and add their tags (P4).
type Loader func(ctx context.Context, key string) (Loaded, error)

// Loaded is what an origin answered.
type Loaded struct {
	// Payload is the value's bytes; the node keeps no reference.
	Payload []byte
	Codec   tiers.Codec
	Tags    []string
	// TTL is how long the copy may live; 0 means the node's default.
	TTL     time.Duration
	Version events.Version
	Flags   tiers.Flags
	// NoStore hands the value to who asked and keeps no copy.
	NoStore bool
}

// Source is where a read was answered from.
type Source uint8

// The sources, nearest first.
const (
	FromMemory Source = iota + 1
	FromDisk
	FromShared
	FromOwner
	FromOrigin
)

// String returns the source's name as metrics use it.
func (s Source) String() string {
	switch s {
	case FromMemory:
		return "memory"
	case FromDisk:
		return "disk"
	case FromShared:
		return "redis"
	case FromOwner:
		return "owner"
	case FromOrigin:
		return "origin"
	}
	return "none"
}

// Result is a read's answer.
type Result struct {
	// Entry is the value and all that is known of it. It belongs to the
	// caller.
	Entry  tiers.Entry
	Source Source
	// Stale marks an answer that a node gave although it was cut off from the
	// log (policy serve), or that lies behind a soft fence (see [Fallback]).
	Stale bool
}

// Concern is how far a write must have reached before it returns.
type Concern uint8

const (
	// Logged: the record is in the log and applied here.
	Logged Concern = iota
	// Everywhere: no read that starts later, on any node of the domain, sees
	// an older value (G5).
	Everywhere
)

// PutOptions go with a value. The zero value: the node's default TTL, no tags.
type PutOptions struct {
	TTL     time.Duration // 0: the node's default; cut to the domain's MaxTTL
	Tags    []string
	Codec   tiers.Codec
	Version events.Version
	Flags   tiers.Flags
	Concern Concern
}

// InvalidateOptions go with an invalidation.
type InvalidateOptions struct {
	Concern Concern
}

// Explanation says what a node knows of a key and why a copy would or would
// not be served.
type Explanation struct {
	Key       string
	Partition int
	Epoch     events.Epoch
	Applied   events.Position
	// FreshFor is how much longer the node may serve without a new pulse;
	// negative: not at all.
	FreshFor time.Duration
	Tiers    []TierExplanation
}

// TierExplanation is one tier's part of an [Explanation].
type TierExplanation struct {
	Tier   Source
	Found  bool
	Header tiers.Header
	Size   int
	// Verdict is "alive", or why not.
	Verdict string
}
