package node

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Config says who a node is and how it behaves. The zero value of every field
// but Node and Settings means its default.
type Config struct {
	// Node names the node for people and for placement.
	Node events.NodeID
	// Settings are the domain's.
	Settings events.Settings
	// Addresses are where other processes reach the node.
	Addresses []string
	// Weight is the node's share in owning slots. Default 100.
	Weight uint32

	// DefaultTTL is the life of copies that name none. Default 1 h; at most
	// the domain's MaxTTL.
	DefaultTTL time.Duration
	// WaitTimeout is how long a read waits for the freshness that its level
	// demands before it goes to the origin or fails. Default 2 s. It should
	// not be below a few round trips to the log.
	WaitTimeout time.Duration
	// LoadTimeout bounds a loader. Default 30 s.
	LoadTimeout time.Duration
	// MaxLoads bounds the loads that run at once, so that a lapse of all
	// leases is no stampede on the origin. Default 256.
	MaxLoads int
	// MaxValue is the largest payload in bytes. Default 16 MiB.
	MaxValue int
	// AuditRate is how many reads a second are judged again, and how many writes
	// are followed to the last node. Default 0: none.
	AuditRate float64

	// OnApply, if set, is told every record once it is applied: in order, from
	// the apply goroutine of its partition, which it must not hold up. The
	// changes are nil for a record that could not be decoded.
	OnApply func(partition int, mark events.Mark, changes []events.Change)
	// OnRead, if set, is told every read, with the copy that answered it or
	// nil. It is called on the hot path and does not keep e.
	OnRead func(key string, e tiers.Entry)
}

// Deps are what a node stands on. Logs and Committers hold one element for
// each partition.
type Deps struct {
	Logs       []events.Log
	Committers []Committer
	Memory     Memory
	// Disk may be nil: then the node keeps no copies beyond memory, and knows
	// the fences of single keys since its start only.
	Disk Disk
	// Shared may be nil.
	Shared Shared
	// Witness may be nil.
	Witness Witness
	// Peers may be nil: Everywhere writes then wait for pulses.
	Peers Peers
	// Auditors may be nil: what is audited is then judged by this node's view of
	// the log alone.
	Auditors Auditors
	Clock    clock.Clock
	// Random draws epochs. Default crypto/rand.
	Random io.Reader
	// Incarnation is this run's, the same that the committers publish under.
	Incarnation events.Incarnation
	// Logger is told what an operator should know. Default: nothing is said.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	set(&c.Weight, 100)
	set(&c.DefaultTTL, time.Hour)
	set(&c.WaitTimeout, 2*time.Second)
	set(&c.LoadTimeout, 30*time.Second)
	set(&c.MaxLoads, 256)
	set(&c.MaxValue, 16<<20)
	c.DefaultTTL = min(c.DefaultTTL, c.Settings.MaxTTL)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (d Deps) validate(c Config) (Deps, error) {
	p := c.Settings.Partitions
	bad := func(what string) (Deps, error) { return d, fmt.Errorf("%w node: %s", events.ErrInvalid, what) }
	if err := c.Settings.Validate(); err != nil {
		return d, err
	}
	switch {
	case c.Node == "" || len(c.Node) > events.MaxNodeID:
		return bad(fmt.Sprintf("id of %d bytes, want 1 to %d", len(c.Node), events.MaxNodeID))
	case len(d.Logs) != p || len(d.Committers) != p:
		return bad(fmt.Sprintf("%d logs and %d committers for %d partitions", len(d.Logs), len(d.Committers), p))
	case d.Memory == nil || d.Clock == nil:
		return bad("no memory tier or no clock")
	case d.Incarnation == (events.Incarnation{}):
		return bad("no incarnation")
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d, nil
}

// fenceOf converts what the disk says of a key's fence.
func fenceOf(hard, soft events.Position) coherence.Fence {
	return coherence.Fence{Hard: hard, Soft: soft}
}
