package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Policy says how long values live, and how reads bear an origin that is slow
// or fails. It never weakens a read's level: whatever serves has passed the same
// judgement of fences, epoch and lease.
//
// In [Config.Policies] and in a call, the zero value of a field means what the
// next wider policy says; a negative one means none.
type Policy struct {
	// TTL is the life of values that name none. Default [Config.DefaultTTL].
	// NegativeTTL is that of the knowledge that the origin has no such value;
	// default TTL. Both are cut to the domain's MaxTTL.
	TTL, NegativeTTL time.Duration
	// Jitter is the share of a life, up to 0.9, by which it is shortened at
	// random at most, so that what was loaded together does not expire together.
	// Default 0.
	Jitter float64
	// Sliding ends a life that long after the last read, if that is before TTL
	// does. A read prolongs it once an eighth of Sliding has passed, so that it
	// is exact to that. It takes EagerAfter's place, and does not bend a TTL that
	// a loader or a write names. Default 0: reads prolong nothing.
	Sliding time.Duration
	// EagerAfter is the share of a life, below 1, after which the first read
	// starts a load in the background. Default 0: none is.
	EagerAfter float64

	// MaxStale is how long after its expiry a copy is kept, and may answer where
	// Fallback says so. Default 0: not at all. It ends with the domain's MaxTTL.
	MaxStale time.Duration
	// Fallback says when a copy that has expired, or lies behind a soft fence,
	// will do. Default [NoFallback].
	Fallback Fallback
	// Throttle is for how long after a load of a key has failed reads that have
	// a fallback take it and do not ask again. Default 0: each asks.
	Throttle time.Duration
	// SoftTimeout is how long a load may run before readers who have a fallback
	// take it; HardTimeout is how long a reader waits in any case, before it gets
	// [ErrOriginSlow]. The load itself goes on, and what it yields is kept.
	// Default 0: as long as the load takes.
	SoftTimeout, HardTimeout time.Duration

	// MemoryTTL, DiskTTL and SharedTTL end the copy in one tier sooner, counted
	// from when it came there. Default 0: they all end together. A copy that
	// was put lies in the log and on disk for its whole life.
	MemoryTTL, DiskTTL, SharedTTL time.Duration
}

// KeyPolicy is the policy of some keys.
type KeyPolicy struct {
	// Match is a prefix, which ends with ':', or a glob, in which '*' and '?'
	// match and '\' escapes.
	Match string
	Policy
}

func (k KeyPolicy) matches(key string) bool {
	if strings.HasSuffix(k.Match, ":") {
		return strings.HasPrefix(key, k.Match)
	}
	return events.MatchGlob(key, k.Match)
}

// Validate reports what can't be meant. Errors wrap [events.ErrInvalid].
func (p Policy) Validate() error {
	bad := func(what string) error { return fmt.Errorf("%w policy: %s", events.ErrInvalid, what) }
	switch {
	case p.Jitter > 0.9:
		return bad("a jitter of more than 0.9")
	case p.EagerAfter >= 1:
		return bad("an eager refresh after the whole life or more; want a share below 1")
	case p.Fallback > NeverFallBack:
		return bad("an unknown fallback")
	}
	return nil
}

// Validate is [Policy.Validate], and looks at Match too.
func (k KeyPolicy) Validate() error {
	if strings.HasSuffix(k.Match, ":") {
		if err := events.ValidatePrefix(k.Match); err != nil {
			return err
		}
	} else if err := events.ValidateGlob(k.Match); err != nil {
		return err
	}
	return k.Policy.Validate()
}

// Over returns p, with base's value for each field that p leaves open.
func (p Policy) Over(base Policy) Policy {
	inherit(&p.TTL, base.TTL)
	inherit(&p.NegativeTTL, base.NegativeTTL)
	inherit(&p.Jitter, base.Jitter)
	inherit(&p.Sliding, base.Sliding)
	inherit(&p.EagerAfter, base.EagerAfter)
	inherit(&p.MaxStale, base.MaxStale)
	inherit(&p.Fallback, base.Fallback)
	inherit(&p.Throttle, base.Throttle)
	inherit(&p.SoftTimeout, base.SoftTimeout)
	inherit(&p.HardTimeout, base.HardTimeout)
	inherit(&p.MemoryTTL, base.MemoryTTL)
	inherit(&p.DiskTTL, base.DiskTTL)
	inherit(&p.SharedTTL, base.SharedTTL)
	return p
}

func inherit[T comparable](field *T, base T) { set(field, base) }

// policies are the policies of a node, by key. They do not change.
type policies struct {
	all     Policy
	some    []KeyPolicy // the first that matches counts
	longest time.Duration
}

func newPolicies(c Config) policies {
	ps := policies{all: c.Policy, longest: c.Settings.MaxTTL}
	set(&ps.all.TTL, c.DefaultTTL)
	for _, k := range c.Policies {
		k.Policy = k.Over(ps.all)
		ps.some = append(ps.some, k)
	}
	return ps
}

// of returns the policy of key, which nobody changes.
func (ps *policies) of(key string) *Policy {
	for i := range ps.some {
		if ps.some[i].matches(key) {
			return &ps.some[i].Policy
		}
	}
	return &ps.all
}

// resolve returns o with the policy that a read of key follows.
func (ps *policies) resolve(key string, o ReadOptions) ReadOptions {
	o.policy = ps.of(key)
	if o.Policy != nil {
		own := o.Policy.Over(*o.policy)
		o.policy = &own
	}
	switch {
	case o.nested:
		o.Fallback = NoFallback
	case o.Fallback == NoFallback:
		o.Fallback = o.policy.Fallback
	}
	return o
}

// PolicyOf returns the policy that a read of key follows if the call says
// nothing.
func (n *Node) PolicyOf(key string) Policy { return *n.policies.of(key) }

// Left returns how much longer a copy lives that expires at t, by this node's
// clock.
func (n *Node) Left(t time.Time) time.Duration {
	return t.Sub(time.UnixMilli(n.clock.Now().Unix))
}

// life sets when the copy that h describes, made at h.Created, is due, expires
// and ends. ttl is what it names for itself, 0 for nothing; chance is in [0, 1).
func (p *Policy) life(h *tiers.Header, ttl, longest time.Duration, chance float64) {
	named := ttl > 0
	if !named {
		ttl = p.TTL
	}
	ttl = min(ttl, longest)
	if mutant.On(mutant.JitterLengthens) {
		ttl += time.Duration(chance * max(p.Jitter, 0) * float64(ttl))
	} else {
		ttl -= time.Duration(chance * max(p.Jitter, 0) * float64(ttl))
	}
	h.Expiry = h.Created.Add(ttl)
	switch {
	case h.Flags&tiers.FlagNegative != 0:
		return // it is loaded anew, and no fallback
	case p.Sliding > 0:
		if !named && p.Sliding < ttl {
			p.slide(h, h.Created, longest)
		}
	case p.EagerAfter > 0:
		h.SoftExpiry = h.Created.Add(time.Duration(p.EagerAfter * float64(ttl)))
	}
	p.stay(h, longest)
}

// slide counts a sliding life of h from now on.
func (p *Policy) slide(h *tiers.Header, now time.Time, longest time.Duration) {
	h.Expiry, h.SoftExpiry = now.Add(p.Sliding), now.Add(p.Sliding/slidingGrain)
	if last := h.Created.Add(min(p.TTL, longest)); h.Expiry.After(last) {
		h.Expiry, h.SoftExpiry = last, time.Time{}
	}
}

// slidingGrain is into how many parts of itself a sliding life is exact.
const slidingGrain = 8

// stay sets how long h stays as a fallback.
func (p *Policy) stay(h *tiers.Header, longest time.Duration) {
	h.StaleUntil = time.Time{}
	if end := h.Created.Add(longest); p.MaxStale > 0 && h.Expiry.Before(end) {
		h.StaleUntil = h.Expiry.Add(min(p.MaxStale, end.Sub(h.Expiry)))
	}
}

// ending returns e, or a copy of it that ends in a tier once ttl has passed.
func ending(e tiers.Entry, now int64, ttl time.Duration) tiers.Entry {
	if ttl <= 0 {
		return e
	}
	return e.Shortened(now + ttl.Milliseconds())
}
