package placement_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/placement"
)

func fleet(n int) []placement.Member {
	var ms []placement.Member
	for i := range n {
		ms = append(ms, placement.Member{Node: events.NodeID(fmt.Sprintf("node-%d", i)), Weight: 100})
	}
	return ms
}

// Whatever the members: as many different owners as there can be, in an order
// that does not depend on theirs.
func TestOwnersOfAnyMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) placement.Member {
			return placement.Member{
				Node:   events.NodeID(rapid.StringMatching(`[a-h]`).Draw(t, "node")),
				Weight: rapid.Uint32Range(0, 3).Draw(t, "weight"),
			}
		}), 0, 12).Draw(t, "members")
		slot, r := rapid.IntRange(0, events.Slots-1).Draw(t, "slot"), rapid.IntRange(0, 5).Draw(t, "r")
		able := map[events.NodeID]bool{}
		for _, m := range ms {
			if m.Weight > 0 {
				able[m.Node] = true
			}
		}
		owners := placement.Owners(ms, slot, r)
		seen := map[events.NodeID]bool{}
		for _, o := range owners {
			if seen[o] || !able[o] {
				t.Fatalf("owners %v of %v", owners, ms)
			}
			seen[o] = true
		}
		if len(owners) != min(r, len(able)) {
			t.Fatalf("%d owners, want %d of %v", len(owners), min(r, len(able)), ms)
		}
		all := placement.Owners(ms, slot, len(ms))
		if !slices.Equal(owners, all[:len(owners)]) {
			t.Fatalf("%v is no beginning of %v", owners, all)
		}
		shuffled := rapid.Permutation(ms).Draw(t, "shuffled")
		if again := placement.Owners(shuffled, slot, r); !slices.Equal(owners, again) {
			t.Fatalf("%v, in another order %v", owners, again)
		}
	})
}

// A member that leaves moves its own slots and nobody else's.
func TestLeavingMovesNothingElse(t *testing.T) {
	ms := fleet(7)
	for slot := range events.Slots {
		before := placement.Owners(ms, slot, 3)
		after := placement.Owners(ms[1:], slot, 3)
		gone := slices.Index(before, ms[0].Node)
		if gone >= 0 {
			before = slices.Delete(before, gone, gone+1)
		}
		if !slices.Equal(before, after[:len(before)]) {
			t.Fatalf("slot %d: %v became %v", slot, before, after)
		}
	}
}

// Slots fall to members by weight, as first owners and as all.
func TestSharesFollowWeights(t *testing.T) {
	ms := fleet(4)
	ms[3].Weight = 300
	first := map[events.NodeID]int{}
	const slots = 60_000
	for slot := range slots {
		first[placement.Owners(ms, slot, 1)[0]]++
	}
	for _, m := range ms {
		want := slots * float64(m.Weight) / 600
		if got := float64(first[m.Node]); math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("%s owns %v slots, want about %v", m.Node, got, want)
		}
	}
}

// The owners are part of what nodes of different builds have to agree on.
func TestOwnersStayTheSame(t *testing.T) {
	for slot, want := range map[int][]events.NodeID{
		0:    {"node-2", "node-4", "node-3"},
		17:   {"node-2", "node-4", "node-1"},
		1023: {"node-4", "node-1", "node-3"},
	} {
		if got := placement.Owners(fleet(5), slot, 3); !slices.Equal(got, want) {
			t.Errorf("slot %d: %v, want %v", slot, got, want)
		}
	}
}
