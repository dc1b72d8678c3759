package events

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/raptorflow/tercet/internal/mutant"
)

// Slots is the number of hash slots that a domain's keys fall into. A key lies
// in slot hash(key) mod Slots, and a slot in partition slot mod Partitions.
const Slots = 1024

// Policy says what a node does while it is cut off from the log for longer
// than the lease.
type Policy string

const (
	// PolicyFence refuses to serve copies: loads go to the origin uncached, a
	// plain get returns an error. The guarantees hold.
	PolicyFence Policy = "fence"
	// PolicyServe serves copies, marked as possibly stale. An Everywhere write
	// then reports who has not confirmed it instead of promising.
	PolicyServe Policy = "serve"
)

// Settings are the constants of a domain. They are fixed when the domain is
// created and kept with its log, because a guarantee holds only if all members
// compute with the same numbers.
type Settings struct {
	// Partitions is the number of the domain's logs, 1 to 64. A divisor of
	// [Slots] spreads slots evenly; any number works.
	Partitions int `json:"partitions"`
	// Lease is how long a node may serve copies after the first attempt of its
	// last applied pulse; a pulse goes out every fifth of it.
	//
	// Longer: Everywhere writes wait longer for a node that fell silent, and
	// Bounded reads are older. Shorter: a change of the log's leader (5 to 9 s
	// with JetStream) stops nodes from serving.
	Lease time.Duration `json:"lease"`
	// Drift is the greatest relative difference r between the rates of two
	// members' clocks that the guarantees survive, in parts per million.
	// A waiting writer waits Lease × (1+r)/(1-r).
	DriftPPM int `json:"drift_ppm"`
	// MaxTTL is the longest life of any copy. Fences older than it are pruned,
	// and the log keeps records for 2 × (MaxTTL + Outage).
	MaxTTL time.Duration `json:"max_ttl"`
	// Outage is the longest time that a node may be away and still come back
	// by replay.
	Outage time.Duration `json:"outage"`
	// InlineMax is the size in bytes up to which a Put carries its entry in
	// the log. Larger entries travel through the shared tier.
	InlineMax int `json:"inline_max"`
	// Policy is what a node does when it is cut off.
	Policy Policy `json:"policy"`
	// Replicas is how many servers keep the log: 1, 3 or 5.
	Replicas int `json:"replicas"`
}

// DefaultSettings returns the settings of a domain that says nothing.
func DefaultSettings() Settings {
	return Settings{
		Partitions: 1,
		Lease:      15 * time.Second,
		DriftPPM:   10_000, // 1 %: quartz is a hundred times better, virtual machines are not
		MaxTTL:     24 * time.Hour,
		Outage:     24 * time.Hour,
		InlineMax:  64 << 10,
		Policy:     PolicyFence,
		Replicas:   1,
	}
}

// Retention is how long the log keeps a record: 2 × (MaxTTL + Outage). A copy
// that outlived the fence which killed it would need to be older than that.
func (s Settings) Retention() time.Duration { return 2 * (s.MaxTTL + s.Outage) }

// PulseInterval is a fifth of the lease: four pulses may be lost before a node
// stops serving.
func (s Settings) PulseInterval() time.Duration { return s.Lease / 5 }

// LeaseWait is how long a writer waits for a member that does not acknowledge,
// counted from its last pulse: Lease × (1+r)/(1-r), rounded up. Lease × (1+r)
// would not do: the holder's clock may be slow while the waiter's is fast.
func (s Settings) LeaseWait() time.Duration {
	if mutant.On(mutant.LeaseWaitWithoutDrift) {
		return s.Lease
	}
	if mutant.On(mutant.LeaseWaitOneSided) {
		return s.Lease + s.Lease*time.Duration(s.DriftPPM)/1_000_000
	}
	const million = 1_000_000
	r := int64(s.DriftPPM)
	l := int64(s.Lease)
	// l·(million+r)/(million-r), split so that it can't overflow for leases
	// below 24 hours. Both divisions round down: the first loses less than
	// 1000·2r/(million-r) <= 2000 ns, the second less than 1000.
	extra := (l/1000*2*r)/(million-r)*1000 + 3000
	return time.Duration(l + extra)
}

var domainName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ErrInvalid is wrapped by every error about a name, a setting or a scope that
// breaks a rule.
var ErrInvalid = errors.New("invalid")

// ValidateDomain checks a domain's name: 1 to 63 of a-z, 0-9, '_' and '-',
// beginning with a letter or digit, so that it can stand in subjects, stream
// names and Redis keys alike.
func ValidateDomain(name string) error {
	if !domainName.MatchString(name) {
		return fmt.Errorf("%w domain name %q: want 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit", ErrInvalid, clip(name))
	}
	return nil
}

// Validate reports the first setting that breaks a rule.
func (s Settings) Validate() error {
	bad := func(name string, value any, want string) error {
		return fmt.Errorf("%w setting %s = %v: want %s", ErrInvalid, name, value, want)
	}
	switch {
	case s.Partitions < 1 || s.Partitions > 64:
		return bad("partitions", s.Partitions, "1 to 64")
	case s.Lease < 200*time.Millisecond || s.Lease > time.Hour:
		return bad("lease", s.Lease, "200ms to 1h")
	case s.DriftPPM < 0 || s.DriftPPM > 500_000:
		return bad("drift_ppm", s.DriftPPM, "0 to 500000")
	case s.MaxTTL < time.Second || s.MaxTTL > 10*365*24*time.Hour:
		return bad("max_ttl", s.MaxTTL, "1s to 87600h")
	case s.Outage < time.Second || s.Outage > 10*365*24*time.Hour:
		return bad("outage", s.Outage, "1s to 87600h")
	case s.InlineMax < 0 || s.InlineMax > MaxInline:
		return bad("inline_max", s.InlineMax, fmt.Sprintf("0 to %d bytes", MaxInline))
	case s.Policy != PolicyFence && s.Policy != PolicyServe:
		return bad("policy", s.Policy, `"fence" or "serve"`)
	case s.Replicas != 1 && s.Replicas != 3 && s.Replicas != 5:
		return bad("replicas", s.Replicas, "1, 3 or 5")
	}
	return nil
}
