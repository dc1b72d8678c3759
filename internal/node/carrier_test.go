package node_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// carrier carries copies between the members of a fleet, as badly as a test
// wants.
type carrier struct {
	mu   sync.Mutex
	of   map[events.NodeID]listener
	sent []sent
	// fate says how often a shipment arrives, and when; nil: once, at once.
	fate func(to events.NodeID, s node.Shipment) []time.Duration
	// deaf are the nodes that answer no question, as if they hung.
	deaf map[events.NodeID]bool
	// down: nothing can be sent.
	down bool
}

type sent struct {
	to events.NodeID
	node.Shipment
}

type listener struct {
	keep   func(node.Shipment)
	answer func(context.Context, int, []string) node.Shipment
	turn   chan struct{} // one shipment at a time
	gone   <-chan struct{}
}

func newCarrier() *carrier {
	return &carrier{of: map[events.NodeID]listener{}, deaf: map[events.NodeID]bool{}}
}

func clone(s node.Shipment) node.Shipment {
	s.Entries = slices.Clone(s.Entries)
	for i, e := range s.Entries {
		s.Entries[i] = append(tiers.Entry(nil), e...)
	}
	return s
}

func (c *carrier) Send(_ context.Context, to events.NodeID, s node.Shipment) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return errors.New("nothing can be sent")
	}
	c.sent = append(c.sent, sent{to, clone(s)})
	arrivals := []time.Duration{0}
	if c.fate != nil {
		arrivals = c.fate(to, s)
	}
	for _, after := range arrivals {
		go func() {
			time.Sleep(after)
			c.deliver(to, clone(s))
		}()
	}
	return nil
}

// deliver hands s to the node called to, if it listens.
func (c *carrier) deliver(to events.NodeID, s node.Shipment) {
	c.mu.Lock()
	l, ok := c.of[to]
	c.mu.Unlock()
	if !ok {
		return
	}
	select {
	case l.turn <- struct{}{}:
		l.keep(s)
		<-l.turn
	case <-l.gone: // it has ended since
	}
}

func (c *carrier) Fetch(ctx context.Context, from events.NodeID, partition int, keys []string) (node.Shipment, error) {
	c.mu.Lock()
	l, ok := c.of[from]
	deaf := c.deaf[from]
	c.mu.Unlock()
	switch {
	case deaf:
		<-ctx.Done()
		return node.Shipment{}, ctx.Err()
	case !ok:
		return node.Shipment{}, errors.New("nobody listens")
	}
	return clone(l.answer(ctx, partition, keys)), nil
}

func (c *carrier) Listen(ctx context.Context, self events.NodeID, keep func(node.Shipment), answer func(context.Context, int, []string) node.Shipment) error {
	c.mu.Lock()
	c.of[self] = listener{keep, answer, make(chan struct{}, 1), ctx.Done()}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	turn := c.of[self].turn
	delete(c.of, self)
	c.mu.Unlock()
	turn <- struct{}{} // until the last shipment is kept
	return ctx.Err()
}

// shut lets nothing be sent, or all again.
func (c *carrier) shut(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

// shipments returns what was sent with a copy of key in it.
func (c *carrier) shipments(key string) (out []sent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sent {
		if slices.ContainsFunc(s.Entries, func(e tiers.Entry) bool { return e.Key() == key }) {
			out = append(out, s)
		}
	}
	return out
}
