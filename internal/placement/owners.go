package placement

import (
	"cmp"
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/raptorflow/tercet/internal/events"
)

// Member is a node that may own slots.
type Member struct {
	Node events.NodeID
	// Weight is the node's share relative to the others': one of twice the
	// weight owns twice the slots. One of weight 0 owns none.
	Weight uint32
}

// Owners returns the r nodes that own slot, the first owner first; fewer if
// there are fewer. A node named twice (its last run may not be forgotten yet)
// counts once, with its greater weight. It takes O(len(members) × r).
func Owners(members []Member, slot, r int) []events.NodeID {
	type draw struct {
		node  events.NodeID
		score float64
	}
	r = min(r, len(members))
	best := make([]draw, 0, 8) // on the stack: a fleet asks for all slots at once
next:
	for _, m := range members {
		d := draw{m.Node, score(m, slot)}
		if d.score == 0 {
			continue
		}
		at := len(best)
		for i, b := range best {
			if b.node == d.node {
				if b.score >= d.score {
					continue next
				}
				best = append(best[:i], best[i+1:]...)
				at = min(at, len(best))
				break
			}
		}
		for at > 0 && cmp.Or(cmp.Compare(d.score, best[at-1].score), cmp.Compare(best[at-1].node, d.node)) > 0 {
			at--
		}
		if at == r {
			continue
		}
		if len(best) < r {
			best = append(best, draw{})
		}
		copy(best[at+1:], best[at:])
		best[at] = d
	}
	owners := make([]events.NodeID, len(best))
	for i, b := range best {
		owners[i] = b.node
	}
	return owners
}

// score is -weight / ln(u), u uniform in (0, 1): the highest of several is
// each member's with a probability in proportion to its weight.
func score(m Member, slot int) float64 {
	if m.Weight == 0 {
		return 0
	}
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+events.MaxNodeID), uint16(slot))
	h := xxhash.Sum64(append(b, m.Node...))
	u := (float64(h>>11) + 0.5) / (1 << 53)
	return -float64(m.Weight) / math.Log(u)
}
