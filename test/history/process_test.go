package history

import (
	"fmt"
	"testing"
	"time"
)

var keys = []string{"item:1", "item:2", "item:3", "item:4"}

// inDomains runs test in domains of one, three and eight partitions, without a
// database.
func inDomains(t *testing.T, test func(t *testing.T, f *fleet)) {
	for _, n := range []int{1, 3, 8} {
		t.Run(fmt.Sprintf("%d partitions", n), func(t *testing.T) { test(t, newFleet(t, n, database{})) })
	}
}

// G2, G3, G4: strong reads and writes are linearizable, sessions read their
// writes and never go back, bounded reads keep their bound, while a member is
// stopped, one is killed, and the servers fail one by one.
func TestStrongSessionAndBoundedReads(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.levels, f.bound = []string{"bounded", "strong", "session"}, 500*time.Millisecond
		f.run(9, 4*time.Millisecond, func(c *caller) {
			key := c.key(keys)
			switch x := c.dice.IntN(10); {
			case x < 3:
				c.write(key, false)
			case x < 6:
				c.read(key, "strong", 0)
			case x < 8:
				c.read(key, "session", 0)
			default:
				c.read(key, "bounded", f.bound)
			}
		}, everything...)
		ops := f.Ops()
		f.demand(f.tally(ops), 100, "write done", "strong read done", "session read done", "bounded read done")
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, err := range []error{Strong(ops), Sessions(ops, f.order), Bounded(ops, f.order)} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// G5: once an Everywhere write has returned, no member serves what was before
// it, at any level, whatever fails.
func TestReadsAfterEverywhere(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.levels = []string{"eventual", "bounded"}
		f.run(9, 4*time.Millisecond, func(c *caller) {
			key := c.key(keys[:2])
			switch x := c.dice.IntN(10); {
			case x < 2:
				c.write(key, true)
			case x < 7:
				c.read(key, "eventual", 0)
			default:
				c.read(key, "bounded", 0)
			}
		}, everything...)
		ops := f.Ops()
		f.demand(f.tally(ops), 50, "write done", "eventual read done", "bounded read done")
		if err := Everywhere(ops); err != nil {
			t.Error(err)
		}
	})
}
