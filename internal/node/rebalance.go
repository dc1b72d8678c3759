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
			moved := n.ship(ctx, page.out)
			n.stats.replicas.moved.Add(uint64(moved))
			n.stats.replicas.walked.Add(uint64(page.rows))
			if !n.pace(ctx, page) {
				return false
			}
			n.look()
			if n.owners.now.Load() != to {
				return false
			}
			if next = page.next; next == "" {
				break
			}
		}
	}
	return true
}

// page is one stretch of a walk.
type page struct {
	out         manifest
	next        string
	rows, bytes int // that were looked at, and that go out
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
		return g.bytes < maxShipment
	})
	g.next = strings.Clone(next)
	return g, err
}

// heirs returns the nodes that this one has to send its copies of slot to: the
// new owners, if it is the first of the old ones that is still there. Where
// none is, everybody who has a copy sends it.
func (n *Node) heirs(slot int, from, to *ownership) []events.NodeID {
	before, after := from.of[slot], to.of[slot]
	if slices.Equal(before, after) {
		return nil
	}
	if at := slices.IndexFunc(before, to.lives); at >= 0 && before[at] != n.cfg.Node {
		return nil
	}
	var out []events.NodeID
	for _, node := range after {
		if node != n.cfg.Node && !(slices.Contains(before, node) && to.lives(node)) {
			out = append(out, node)
		}
	}
	return out
}

// pace waits for as long as the rates allot to a page, and reports whether the
// walk goes on.
func (n *Node) pace(ctx context.Context, g page) bool {
	pause := max(
		time.Duration(max(g.rows, 1))*time.Second/time.Duration(n.cfg.RebalanceRows),
		time.Duration(g.bytes)*time.Second/time.Duration(n.cfg.RebalanceBytes),
	)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
