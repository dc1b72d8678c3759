package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// rebalance walks over the disk and sends the copies of slots whose owners have
// changed to those who own them now, no faster than the configured rates. It
// reports whether it came to the end: it gives up when the members change
// again.
func (n *Node) rebalance(ctx context.Context, from, to *ownership) bool {
	if n.replicas == nil || n.disk == nil || n.cfg.Replication <= 0 {
		return true
	}
	n.stats.replicas.walks.Add(1)
	for _, p := range n.parts {
		for next := ""; ; {
			if p.blind.Load() {
				break
			}
			page, err := n.page(p, next, from, to)
			if err != nil {
				break // whoever reads finds the disk lost
			}
			n.stats.replicas.walked.Add(uint64(page.rows))
			if !n.move(ctx, page, to) {
				return false
			}
			if next = page.next; next == "" {
				break
			}
		}
	}
	return true
}

// moveTries is how often a page is sent while the node serves: whoever does not
// serve has lost the way to the others too, and waits.
const moveTries = 5

// move sends a page and lets pass the time that the rates allot to it. It
// reports whether the walk goes on.
func (n *Node) move(ctx context.Context, g page, to *ownership) bool {
	for tries := 0; ; {
		moved := n.ship(ctx, g.out)
		n.stats.replicas.moved.Add(uint64(moved))
		pause := n.allotted(g)
		if n.Serving() == nil {
			tries++
		}
		done := moved == g.copies || tries >= moveTries
		if !done {
			pause = max(pause, n.cfg.Settings.PulseInterval())
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		n.look()
		if n.owners.now.Load() != to {
			return false
		}
		if done {
			return true
		}
	}
}

// page is one stretch of a walk.
type page struct {
	out         manifest
	next        string
	rows, bytes int // that were looked at, and that go out
	copies      int // that go out; one to two nodes counts twice
}

const pageRows = 256

func (n *Node) page(p *partition, key string, from, to *ownership) (page, error) {
	g := page{out: manifest{}}
	now := n.clock.Now()
	next, err := n.disk.Scan(p.index, key, pageRows, func(e tiers.Entry) bool {
		g.rows++
		// Copies lie beside their key's fence, which acted on them.
		if len(e) > maxShipment || !p.servable(e, now, coherence.Fence{}) {
			return true
		}
		heirs := n.heirs(Slot(e.Key()), from, to)
		if len(heirs) == 0 {
			return true
		}
		g.out.add(p, append(tiers.Entry(nil), e...), heirs...)
		g.bytes += len(e) * len(heirs)
		g.copies += len(heirs)
		return g.bytes < maxShipment
	})
	g.next = strings.Clone(next)
	return g, err
}

// heirs returns the nodes that this one has to send its copies of slot to: the
// new owners, if it is an old one. All old ones send, for the first may have
// died unnoticed; where none is left, everybody who has a copy does.
func (n *Node) heirs(slot int, from, to *ownership) []events.NodeID {
	before, after := from.of[slot], to.of[slot]
	if slices.Equal(before, after) {
		return nil
	}
	if slices.ContainsFunc(before, to.lives) && !slices.Contains(before, n.cfg.Node) {
		return nil
	}
	var out []events.NodeID
	for _, node := range after {
		if node != n.cfg.Node && !slices.Contains(before, node) {
			out = append(out, node)
		}
	}
	return out
}

// allotted is how long the rates allot to a page.
func (n *Node) allotted(g page) time.Duration {
	return max(
		time.Duration(max(g.rows, 1))*time.Second/time.Duration(n.cfg.RebalanceRows),
		time.Duration(g.bytes)*time.Second/time.Duration(n.cfg.RebalanceBytes),
	)
}
