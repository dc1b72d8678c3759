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
	// Fallback says when a copy that has expired, or lies behind a soft fence,
	// will do. The zero value: as the policy says.
	Fallback Fallback
	// Policy, if set, changes the key's policy for this read, and for what it
	// loads.
	Policy *Policy
	// Skip names tiers that the read passes over.
	Skip Skip

	// inVain: the node is behind what the read's level demands, so that it can't
	// tell a loader which changes there were (P3).
	inVain bool
	// nested: the read is made by a loader.
	nested bool
	// again: memory holds a copy that the first look could not answer with.
	again bool
	// refresh: the load is to replace a copy that is still alive.
	refresh bool
	// policy is the one that the read follows, once it is resolved.
	policy *Policy
	// older is a copy that a loader may be asked to compare; nil for none.
	older tiers.Entry
}

// Skip is a set of tiers that a read does not ask, or that what it loads is not
// put into. Fences are heeded all the same. Writes skip nothing.
type Skip uint8

// The tiers to skip: the process's memory, its disk, the shared tier, other
// nodes that own the key.
const (
	SkipMemoryRead Skip = 1 << iota
	SkipDiskRead
	SkipSharedRead
	SkipOwnersRead
	SkipMemoryWrite
	SkipDiskWrite
	SkipSharedWrite
	SkipOwnersWrite
)

// SkipReads loads past every copy that is there, and keeps the value.
const SkipReads = SkipMemoryRead | SkipDiskRead | SkipSharedRead | SkipOwnersRead

func (s Skip) has(t Skip) bool { return s&t != 0 }

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
	// TTL is how long the copy may live; 0 means what the key's policy says.
	TTL     time.Duration
	Version events.Version
	Flags   tiers.Flags
	// Validator is what the origin names this value by (an entity tag, a date),
	// for the next load's [Previous].
	Validator string
	// NotModified says that the value which [Previous] told is what the origin
	// has now. It is kept anew; the payload is ignored, tags are added to its own,
	// and what else is zero stays as it was.
	NotModified bool
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
	// log (policy serve), that has expired, or that lies behind a soft fence (see
	// [Fallback]).
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
	TTL     time.Duration // 0: as the key's policy says; cut to the domain's MaxTTL
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
	// Served are the answers of the key that the auditor sampled lately, the oldest
	// first. Most reads are not sampled.
	Served []Served
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
