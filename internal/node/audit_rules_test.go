package node_test

import (
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// auditedScopes are the ways to fence item:2:x, which carries the tag t.
var auditedScopes = []events.Scope{
	{Keys: []string{"item:2:x"}}, {Tags: []string{"t"}}, {Prefixes: []string{"item:"}}, {Globs: []string{"*:x"}}, {All: true},
}

// at is where a token stands in the partition of item:2:x.
func (f *fleet) at(t consistency.Token) events.Position {
	return t.At(node.Partition("item:2:x", f.settings.Partitions)).Position
}

// Whoever judges, the log's records, the list of what came by, or another node,
// blames a copy for a fence of any kind between its birth and its claim, and for
// no other; of another history it says nothing, and everything is counted.
func TestAuditorJudgesByTheDefinition(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := audited(f, nil)
		for _, scope := range auditedScopes {
			put, err := a.Put(t.Context(), "item:2:x", []byte("v"), node.PutOptions{Tags: []string{"t"}})
			if err != nil {
				t.Fatal(err)
			}
			birth := f.at(put)
			fence := f.at(a.invalidate(scope))
			f.caughtUp(a)
			f.caughtUp(b)
			dead := a.Sight("item:2:x", birth, fence, "t")
			alive := a.Sight("item:2:x", birth, fence-1, "t")
			younger := a.Sight("item:2:x", fence, fence, "t")
			foreign := dead
			foreign.Digest[0]++
			for what, tc := range map[string]struct {
				s                            node.Sighting
				checked, violations, unknown uint64
				opinion                      node.Opinion
			}{
				"dead":           {dead, 1, 1, 0, node.Objects},
				"alive":          {alive, 1, 0, 0, node.Abstains}, // b knows only that it died later
				"younger":        {younger, 1, 0, 0, node.Agrees},
				"other history":  {foreign, 0, 0, 1, node.Abstains},
				"without digest": {node.Sighting{Partition: dead.Partition, Epoch: dead.Epoch, Key: dead.Key, Birth: birth, Claim: fence}, 0, 0, 1, node.Abstains},
			} {
				for _, by := range []string{"the records", "the list"} {
					if by == "the records" {
						f.pass(2 * time.Second) // they are read again once a second
					}
					before := a.Stats().Audit
					a.Audit(tc.s)
					after := a.Stats().Audit
					if after.Reads-before.Reads != 1 || after.CheckedByLog-before.CheckedByLog != tc.checked ||
						after.ViolationsByLog-before.ViolationsByLog != tc.violations || after.UnknownByLog-before.UnknownByLog != tc.unknown {
						t.Errorf("%s, %+v, by %s: %+v, then %+v", what, scope, by, before, after)
					}
					if blamed := after.ViolationsByPeer != before.ViolationsByPeer; blamed != (tc.opinion == node.Objects) {
						t.Errorf("%s, %+v: blamed by the other node: %v", what, scope, blamed)
					}
				}
				if got := b.Opinion(tc.s); got != tc.opinion {
					t.Errorf("%s, %+v: the other node's opinion is %d, want %d", what, scope, got, tc.opinion)
				}
			}
		}
	})
}
