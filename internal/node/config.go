package node

import (
	"context"
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
	// Weight is the node's share in owning slots. Default 100. A Guest has
	// none.
	Weight uint32
	Guest  bool

	// DefaultTTL is the life of copies that name none. Default 1 h; at most
	// the domain's MaxTTL.
	DefaultTTL time.Duration
	// Policy is how values live and reads bear a failing origin, where neither
	// Policies nor the call say otherwise; Policies are those of some keys, of
	// which the first that matches counts.
	Policy   Policy
	Policies []KeyPolicy
	// WaitTimeout is how long a read waits for the freshness that its level
	// demands before it goes to the origin or fails. Default 2 s. It should
	// not be below a few round trips to the log.
	WaitTimeout time.Duration
	// LoadTimeout bounds a loader. Default 30 s.
	LoadTimeout time.Duration
	// MaxLoads bounds the loads that run at once, so that a lapse of all
	// leases is no stampede on the origin. Default 256.
	MaxLoads int
	// LoadQueue bounds the loads that wait for that. Default 16 times MaxLoads;
	// negative: none waits. A load beyond is turned away at once, with an
	// [Overload]. No more loads than MaxLoads and LoadQueue together are under
	// way, for whatever they wait.
	LoadQueue int
	// LoadRate is how many loads may begin in a second. Default 0: any number.
	// Up to a second's worth may begin at once.
	LoadRate float64
	// LoadTarget is how long a load should take: while they take longer, fewer
	// run at once. Default 0: always up to MaxLoads; see [Limits].
	LoadTarget time.Duration
	// LoadAlone: loads are shared within this process only, and not with other
	// nodes that load the same key.
	LoadAlone bool
	// Turn is how long a node that loads a key for others may fall silent
	// before another one loads it. Default 3 s, at most LoadTimeout. Shorter:
	// a holder that is slow to prolong its turn loses it. Longer: readers wait
	// longer for one that died.
	Turn time.Duration
	// MaxValue is the largest payload in bytes. Default 16 MiB.
	MaxValue int
	// Validate, if set, is asked of every payload that was loaded or is to be put;
	// its error is the call's, and nothing is kept. It keeps no reference.
	Validate func(key string, payload []byte) error
	// AuditRate is how many reads a second are judged again, and how many writes
	// are followed to the last node. Default 0: none.
	AuditRate float64

	// TiersOff are switched off from the start; see [Node.SwitchOff].
	TiersOff []Source

	// Replication is how many nodes keep a copy of each key for the others, if
	// [Deps.Replicas] is there. More may: every node also keeps what it has
	// loaded or read. Default 2; negative: none, and no node is asked.
	Replication int
	// FetchTimeout bounds a question to a key's owners, which a read asks when
	// Redis had no answer, before it loads or misses. Default 50 ms.
	FetchTimeout time.Duration
	// RebalanceRows and RebalanceBytes bound how fast a node, when members
	// came or went, looks through its disk and sends copies to new owners:
	// copies looked at, and bytes sent, per second. Defaults 20,000 and 8 MiB.
	RebalanceRows, RebalanceBytes int

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
	// NewDisk replaces a Disk that was lost, which it releases first, or is nil
	// at the start. The node fills the new one from its log and goes on with it.
	// An error means that it will be asked again. Nil: a lost disk stays lost
	// until the restart.
	NewDisk func(ctx context.Context) (Disk, error)
	// Shared may be nil.
	Shared Shared
	// Witness may be nil.
	Witness Witness
	// Line may be nil: loads are then shared within this process only. Turns
	// may be nil: the owners of slots grant turns then.
	Line  Line
	Turns Turns
	// Peers may be nil: Everywhere writes then wait for pulses.
	Peers Peers
	// Auditors may be nil: what is audited is then judged by this node's view of
	// the log alone.
	Auditors Auditors
	// Replicas may be nil: then no copies are exchanged with other nodes.
	Replicas Replicas
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
	if c.Guest {
		c.Weight = 0
	}
	set(&c.DefaultTTL, time.Hour)
	set(&c.WaitTimeout, 2*time.Second)
	set(&c.LoadTimeout, 30*time.Second)
	set(&c.MaxLoads, 256)
	set(&c.Turn, 3*time.Second)
	c.Turn = min(c.Turn, c.LoadTimeout)
	set(&c.MaxValue, 16<<20)
	set(&c.Replication, 2)
	set(&c.FetchTimeout, 50*time.Millisecond)
	set(&c.RebalanceRows, 20_000)
	set(&c.RebalanceBytes, 8<<20)
	c.DefaultTTL = min(c.DefaultTTL, c.Settings.MaxTTL)
	return c
}

// loads are the limits on loads.
func (c Config) loads() Limits {
	return Limits{AtOnce: c.MaxLoads, Queue: c.LoadQueue, PerSecond: c.LoadRate, Target: c.LoadTarget}
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
	case c.MaxLoads < 0 || c.LoadRate < 0 || c.LoadTarget < 0 || c.Turn < 0:
		return bad("a negative limit on loads")
	case c.Policy.Validate() != nil:
		return d, c.Policy.Validate()
	case d.Incarnation == (events.Incarnation{}):
		return bad("no incarnation")
	}
	for _, k := range c.Policies {
		if err := k.Validate(); err != nil {
			return d, fmt.Errorf("policy of %q: %w", k.Match, err)
		}
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
