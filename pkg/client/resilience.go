package client

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Policy says how long values live, and how reads bear an origin that is slow
// or fails; docs/RESILIENCE.md shows each of its fields at work. It stands in
// [Config] for all keys and for some, and in a call ([With], and the options for
// single fields). A field that a narrower policy leaves zero is inherited; a
// negative one means none.
type Policy = node.Policy

// KeyPolicy is the [Policy] of the keys that match a prefix or glob.
type KeyPolicy = node.KeyPolicy

// ErrOriginSlow: the reader's patience, [Policy].HardTimeout, has ended before
// the load has. The load goes on, and what it yields is kept.
var ErrOriginSlow = node.ErrOriginSlow

// With changes the key's policy for one read, and for what it loads.
func With(p Policy) ReadOption {
	return func(o *node.ReadOptions) {
		own := p
		if o.Policy != nil {
			own = p.Over(*o.Policy)
		}
		o.Policy = &own
		if p.Fallback != node.NoFallback {
			o.Fallback = p.Fallback
		}
	}
}

// FailSafe lets a copy that expired less than maxStale ago, or lies behind a
// soft fence, answer when the origin fails. What it loads is kept for that long
// after its expiry.
func FailSafe(maxStale time.Duration) ReadOption {
	return With(Policy{Fallback: IfOriginFails, MaxStale: maxStale})
}

// StaleWhileRevalidate lets such a copy answer at once, while the origin is
// asked in the background.
func StaleWhileRevalidate(maxStale time.Duration) ReadOption {
	return With(Policy{Fallback: WhileReloading, MaxStale: maxStale})
}

// Throttle leaves an origin alone for d after it has failed to load a key that
// has a fallback.
func Throttle(d time.Duration) ReadOption { return With(Policy{Throttle: d}) }

// Timeouts bound how long the read waits for a load: soft where there is a
// fallback, hard in any case. 0: as the key's policy says. The load goes on.
func Timeouts(soft, hard time.Duration) ReadOption {
	return With(Policy{SoftTimeout: soft, HardTimeout: hard})
}

// EagerRefresh loads in the background once a share of the life has passed: 0.8
// is a good value.
func EagerRefresh(after float64) ReadOption { return With(Policy{EagerAfter: after}) }

// NoLoad reads what is cached, also where the client has an Origin.
func NoLoad() ReadOption { return func(o *node.ReadOptions) { o.Load = nil } }

// SkipTiers passes over tiers: in the lookup, or with what the read loads.
func SkipTiers(s Skip) ReadOption { return func(o *node.ReadOptions) { o.Skip |= s } }

// Skip is a set of tiers. Fences are heeded whatever is skipped, and writes skip
// nothing.
type Skip = node.Skip

// What [SkipTiers] passes over: this process's memory, its disk, Redis, other
// members that own the key.
const (
	SkipMemoryRead  = node.SkipMemoryRead
	SkipDiskRead    = node.SkipDiskRead
	SkipRedisRead   = node.SkipSharedRead
	SkipOwnersRead  = node.SkipOwnersRead
	SkipMemoryWrite = node.SkipMemoryWrite
	SkipDiskWrite   = node.SkipDiskWrite
	SkipRedisWrite  = node.SkipSharedWrite
	SkipOwnersWrite = node.SkipOwnersWrite
	// SkipReads loads past every copy, and keeps the value.
	SkipReads = node.SkipReads
)

// Priority weighs in eviction.
type Priority int8

// The priorities; the zero value is Normal.
const (
	Low    Priority = -1
	Normal Priority = 0
	High   Priority = 1
)

func (p Priority) flags() tiers.Flags {
	switch {
	case p < Normal:
		return tiers.FlagLowPriority
	case p > Normal:
		return tiers.FlagHighPriority
	}
	return 0
}

// Previous returns the value that the load which was called with ctx is to
// replace, if there is one: it has expired, is due for a refresh, or lies behind
// a soft fence, but no hard fence covers it. The loader may ask its origin
// whether that is still the one ([Value].Validator), and answer NotModified.
func Previous(ctx context.Context) (Value, bool) {
	e, ok := node.Previous(ctx)
	if !ok {
		return Value{}, false
	}
	var v Value
	v.set(nil, node.Result{Entry: e})
	v.Bytes = append([]byte(nil), v.Bytes...)
	return v, true
}

// Previous is the function of that name for values of type T. A value of
// another codec is none.
func (t *Typed[T]) Previous(ctx context.Context) (v T, validator string, ok bool) {
	e, ok := node.Previous(ctx)
	if !ok {
		return v, "", false
	}
	if v, err := t.decode(e.Key(), node.Result{Entry: e}); err == nil {
		return v, e.Validator(), true
	}
	return v, "", false
}

// TTL returns how much longer the value lives, by the clock that decides it: a
// step of the wall clock moves nothing. It is negative once that is over, and
// false for a value that does not expire.
func (v Value) TTL() (time.Duration, bool) {
	if v.Expires.IsZero() || v.node == nil {
		return 0, false
	}
	return v.node.Left(v.Expires), true
}
