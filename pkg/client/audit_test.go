package client_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// Under load, with real servers between them, members audit each other's
// answers and find nothing to blame.
func TestAuditUnderLoad(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		audits := func(c *client.Config) { c.AuditRate = 50 }
		nodes := []*client.Client{f.open("a", audits), f.open("b", audits), f.open("c", audits)}
		ctx := t.Context()
		var o origin
		enough := func() bool {
			for _, n := range nodes {
				s := n.Node().Stats().Audit
				if s.CheckedByLog < 20 || s.CheckedByPeer < 20 || s.Writes < 3 {
					return false
				}
			}
			return true
		}
		for i, deadline := 0, time.Now().Add(20*time.Second); !enough(); i++ {
			if time.Now().After(deadline) {
				t.Error("too little was checked within 20s")
				break
			}
			n := nodes[i%len(nodes)]
			key := fmt.Sprintf("item:%d:x", i%11)
			switch {
			case i%29 == 0:
				o.n.Add(1)
				if _, err := n.Invalidate(ctx, client.Invalidation{Tags: []string{fmt.Sprint(i % 3)}, Keys: []string{key}}); err != nil {
					t.Fatal(err)
				}
			case i%31 == 0:
				if _, err := n.Set(ctx, key, []byte("set")); err != nil {
					t.Fatal(err)
				}
			default:
				if _, err := n.GetOrLoad(ctx, key, o.load(fmt.Sprint(i%3))); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, n := range nodes {
			s := n.Node().Stats().Audit
			if s.ViolationsByLog+s.ViolationsByPeer != 0 {
				t.Errorf("blamed without a cause: %+v", s)
			}
			t.Logf("%d reads taken, %d judged by the log, %d by another node (%d abstained); %d writes took %v on average to be everywhere",
				s.Reads, s.CheckedByLog, s.CheckedByPeer, s.Abstained, s.Writes, s.Reach.Sum/time.Duration(max(s.Writes, 1)))
		}
	})
}
