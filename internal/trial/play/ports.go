package play

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/input"
)

// Fleet is a running fleet, for one domain.
type Fleet interface {
	// Members are its nodes; their number and order never change.
	Members() []Member
	// Publish hands a domain event to the fleet's stream of events and returns
	// its place there once it is kept. It is tried again until ctx ends.
	Publish(ctx context.Context, c *input.Change) (sequence uint64, err error)
	// Stats are the parts' own counts.
	Stats() FleetStats
	// Addresses are where the parts listen, for people; empty if they don't.
	Addresses() []Address
	// Close ends all of it and removes what it left.
	Close() error
}

// Member is one node of the fleet.
type Member interface {
	Name() string
	// Read returns the key's value, loading it from the origin if need be.
	Read(ctx context.Context, key string) (Answer, error)
	// Stop ends the node and Start starts it again on the same directory; both
	// wait until that is done. Nobody may read meanwhile.
	Stop(ctx context.Context) error
	Start(ctx context.Context) error
}

// Answer is what a read got.
type Answer struct {
	Payload []byte
	Source  node.Source
}

// FleetStats are counts of the fleet's parts.
type FleetStats struct {
	// DeadLetters are events that the invalidator could not understand.
	DeadLetters uint64
	// Warmed are keys that were loaded for the warmer.
	Warmed uint64
}

// Address is where a part of the fleet listens.
type Address struct {
	What, URL string
}

// Observer is told what the nodes apply. It is called from their apply
// goroutines and must not hold them up.
type Observer func(member int, at time.Time, mark events.Mark, changes []events.Change)

// Load is the origin: it returns a key's value and tags.
type Load func(ctx context.Context, key string) (payload []byte, tags []string, err error)
