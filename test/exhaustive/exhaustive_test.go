package exhaustive

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var deep = flag.Bool("deep", false, "search wider scopes too: minutes, and gigabytes")

// one lets the second node alone load, two both.
var one, two = [2]bool{false, true}, [2]bool{true, true}

// searched is a scope and what its search has to find.
type searched struct {
	scope
	states int
	// met is what has to come up.
	met []string
}

// scopes are searched every day. states is how many there are to visit: a
// number that changes says that the machine has, and is to be understood before
// it is written down anew.
var scopes = []searched{
	{scope{name: "fence of a key", change: fenceKey, ticks: 3, pulses: [2]uint8{0, 1}, loads: one, joins: true}, 132209,
		[]string{"joined", "kept", byLease, byWord, "served the old row"}},
	{scope{name: "fence of a tag", change: fenceTag, ticks: 3, pulses: [2]uint8{0, 1}, loads: one, joins: true}, 168209,
		[]string{"joined", "kept", "refused at insert", byLease, byWord, "served the old row"}},
	{scope{name: "put", change: put, ticks: 3, pulses: [2]uint8{0, 1}, loads: one, joins: true}, 134235,
		[]string{"joined", "kept", byLease, byWord, "served the old row", "served the new row"}},
	{scope{name: "shared tier", change: fenceKey, ticks: 1, pulses: [2]uint8{0, 1}, loads: two, shared: true}, 277489,
		[]string{"served from the shared tier", "served the old row", "served the new row"}},
	{scope{name: "shared tier, tag", change: fenceTag, ticks: 2, loads: two, shared: true}, 17688,
		[]string{"served from the shared tier", "served the old row", "served the new row"}},
	{scope{name: "strong read", change: fenceKey, ticks: 0, pulses: [2]uint8{0, 2}, loads: one, strong: true}, 98534,
		[]string{"served the old row", "served the new row"}},
	{scope{name: "strong read by acknowledgement", change: fenceKey, ticks: 0, pulses: [2]uint8{0, 2}, loads: one, strong: true, shortcut: true}, 360848,
		[]string{"served the old row", "served the new row", "a pulse refused", "fresh by an acknowledgement"}},
	{scope{name: "lease by acknowledgement", change: fenceKey, ticks: 3, pulses: [2]uint8{0, 1}, loads: one, shortcut: true}, 205671,
		[]string{"kept", byLease, byWord, "served the old row", "a pulse refused", "fresh by an acknowledgement"}},
	{scope{name: "turn", change: fenceKey, ticks: 3, loads: two, turns: true}, 25871,
		[]string{"waits for the other's load", "took what the other has loaded", "served the old row", "served the new row", byLease, byWord}},
	{scope{name: "turn, tag", change: fenceTag, ticks: 3, loads: two, turns: true}, 29236,
		[]string{"waits for the other's load", "took what the other has loaded", "served the old row", "served the new row", byLease, byWord}},
	{scope{name: "crash", change: fenceKey, ticks: 2, loads: one, crash: true}, 208936,
		[]string{"crashes", "served the old row", byLease, byWord}},
	{scope{name: "crash, tag", change: fenceTag, ticks: 2, loads: one, crash: true}, 339083,
		[]string{"crashes", "served the old row", byLease, byWord}},
	{scope{name: "bracket", change: intentKey, ticks: 2, loads: one, joins: true, resolver: true}, 16602,
		[]string{"resolved", "joined", byLease, byWord, "served under a bracket's protocol"}},
	{scope{name: "bracket of a tag", change: intentTag, ticks: 2, loads: one, joins: true, resolver: true}, 26147,
		[]string{"resolved", "joined", byLease, byWord, "served under a bracket's protocol"}},
	{scope{name: "bracket, crash", change: intentKey, loads: one, crash: true}, 22430,
		[]string{"crashes", "served under a bracket's protocol"}},
	{scope{name: "bracket, crash, resolver", change: intentKey, loads: one, crash: true, resolver: true}, 363234,
		[]string{"crashes", "resolved", "served under a bracket's protocol"}},
	{scope{name: "bracket, turn", change: intentKey, ticks: 2, loads: two, turns: true, resolver: true}, 191887,
		[]string{"waits for the other's load", "resolved", "served under a bracket's protocol"}},
}

const (
	byWord  = "returns, all confirmed"
	byLease = "returns, a lease has passed"
)

// wider makes a scope deeper than every day has time for.
func wider(s scope) scope {
	s.name += ", wider"
	s.ticks++
	for i := range s.pulses {
		s.pulses[i] = min(s.pulses[i]+1, maxPulses)
	}
	return s
}

// No guarantee breaks in any interleaving of the scopes, and the pure machine's
// verdict is the definition's in each of them.
func TestEveryInterleaving(t *testing.T) {
	began := time.Now()
	states, steps := 0, 0
	for _, s := range scopes {
		t.Run(s.name, func(t *testing.T) {
			r := search(s.scope, sound)
			if *deep && r.broken == "" {
				r = search(wider(s.scope), sound)
			}
			states, steps = states+r.states, steps+r.steps
			t.Logf("%d states, %d steps, met %v", r.states, r.steps, r.met)
			if r.broken != "" {
				t.Fatalf("%s, by\n%s", r.broken, r.trace)
			}
			if r.states != s.states && !*deep {
				t.Errorf("%d states, %d are expected", r.states, s.states)
			}
			for _, what := range s.met {
				if r.met[what] == 0 {
					t.Errorf("%q never came up", what)
				}
			}
		})
	}
	t.Logf("%d states and %d steps explored in %v", states, steps, time.Since(began).Round(time.Millisecond))
}

// Each remedy that stands in the shell is needed: without it the search finds
// an interleaving that breaks the guarantee.
func TestEachRemedyIsNeeded(t *testing.T) {
	for _, tc := range []struct {
		lacks without
		// rule is that of docs/PROTOCOL.md, what the remedy is.
		rule, what string
		scope      string
		breaks     string
	}{
		{checkAtInsert, "P23", "the check at insert", "fence of a key", "G1"},
		{checkAtJoin, "P26", "the check of a load that is joined", "fence of a key", "G1"},
		{checkWhoJoined, "P24", "the check of the tags of a load that was joined", "fence of a tag", "G1"},
		{leaseAtJoin, "H8", "the lease of who joins", "fence of a key", "G5"},
		{birthKept, "P27", "the birth of a copy that moves nearer", "shared tier", "G1"},
		{birthBeforeLoad, "P4", "the birth from before the load", "fence of a key", "G1"},
		{verdictOnShared, "P35", "the verdict on what the shared tier returns", "shared tier", "G1"},
		{applyBeforeAck, "P48", "applying before confirming", "fence of a key", "G5"},
		{membersOfTheLog, "P46", "waiting for members by log", "fence of a key", "G5"},
		{leaseWait, "C2", "waiting for the lease of who is silent", "fence of a key", "G5"},
		{leaseAtRead, "P44", "the lease at a read", "fence of a key", "G5"},
		{leaseFromStart, "C1", "the lease from before the pulse", "fence of a key", "G3"},
		{ownPulse, "C6", "a pulse that begins behind the strong read", "strong read", "G4"},
		{pulseBehindLast, "P51", "the record that a pulse must follow", "strong read by acknowledgement", "G4"},
		{pulseBehindLast, "C1", "the record that a pulse must follow, for leases", "lease by acknowledgement", "G"},
		{needAtTurn, "P26", "the check of another node's load", "turn", "G1"},
		{tagsAtTurn, "P24", "the check of the tags of another node's load", "turn, tag", "G1"},
		{leaseAtTurn, "H8", "the lease of who waits for another node's load", "turn", "G5"},
		{joinGate, "P31", "the join gate", "crash", "G"},
		{tiersBeforeApplied, "P48", "the tiers before the position", "fence of a key", "G1"},
		{everywhereInBracket, "P5", "the intent everywhere before the commit", "bracket", "G4b"},
		{commitBeforeEnd, "P5", "the commit before the end", "bracket", "G4b"},
		{bypassUnkept, "H7", "not keeping what is loaded under a bracket", "bracket, crash", "G4b"},
		{bypassUnshared, "H7", "not sharing loads under a bracket", "bracket", "G4b"},
		{markBeforeEnd, "P6", "the mark before a stranger's end", "bracket", "G4b"},
	} {
		t.Run(tc.rule+" "+tc.what, func(t *testing.T) {
			i := slices.IndexFunc(scopes, func(s searched) bool { return s.name == tc.scope })
			r := search(scopes[i].scope, tc.lacks)
			if !strings.HasPrefix(r.broken, tc.breaks) {
				t.Fatalf("broken is %q after %d states, want %s", r.broken, r.states, tc.breaks)
			}
			t.Logf("%s, after %d states:\n%s", r.broken, r.states, r.trace)
		})
	}
}

// The search finds the same states each time.
func TestSearchIsStable(t *testing.T) {
	s := scopes[0].scope
	a, b := search(s, sound), search(s, sound)
	if a.states == 0 || a.states != b.states || a.steps != b.steps {
		t.Errorf("%d states and %d steps, then %d and %d", a.states, a.steps, b.states, b.steps)
	}
	if names := slices.Sorted(func(yield func(string) bool) {
		for _, s := range scopes {
			if !yield(s.name) {
				return
			}
		}
	}); len(slices.Compact(names)) != len(scopes) {
		t.Error(fmt.Sprint("two scopes share a name: ", names))
	}
}
