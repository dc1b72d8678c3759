package client_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/pkg/client"
)

// cluster is the members that run in this process, by name.
type cluster map[events.NodeID]*client.Client

func (f *fleet) cluster(names ...string) cluster {
	f.t.Helper()
	all := cluster{}
	for _, name := range names {
		all[events.NodeID(name)] = f.open(name)
	}
	return all
}

// know waits until all take n nodes for owners.
func (cs cluster) know(t *testing.T, n int) {
	t.Helper()
	until(t, "everybody to know the owners", time.Minute, func() bool {
		for _, c := range cs {
			owners := map[events.NodeID]bool{}
			for i := range 64 {
				for _, o := range c.Node().Owners(fmt.Sprint("key", i)) {
					owners[o] = true
				}
			}
			if len(owners) != n {
				return false
			}
		}
		return true
	})
}

func onDisk(t *testing.T, c *client.Client, key string) bool {
	t.Helper()
	x, err := c.Node().Explain(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(x.Tiers, func(e node.TierExplanation) bool { return e.Tier == node.FromDisk && e.Found })
}

// replicated waits until each key lies on the disks of two owners among cs.
func (cs cluster) replicated(t *testing.T, within time.Duration, keys []string) {
	t.Helper()
	until(t, "two owners to hold each key", within, func() bool {
		for _, k := range keys {
			held := 0
			for name, c := range cs {
				if slices.Contains(c.Node().Owners(k), name) && onDisk(t, c, k) {
					held++
				}
			}
			if held < 2 {
				return false
			}
		}
		return true
	})
}

func until(t *testing.T, what string, within time.Duration, cond func() bool) {
	t.Helper()
	for by := time.Now().Add(within); !cond(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("in vain for %v: %s", within, what)
		}
	}
}

// loadKeys has c load n keys, and returns them.
func loadKeys(t *testing.T, c *client.Client, o *origin, n int) (keys []string) {
	t.Helper()
	for i := range n {
		k := fmt.Sprint("key", i)
		if _, err := c.GetOrLoad(t.Context(), k, o.load("tag")); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

// reads fails the test unless c finds every key without a load, and returns
// how often each source answered.
func reads(t *testing.T, c *client.Client, keys []string) map[string]int {
	t.Helper()
	sources := map[string]int{}
	for _, k := range keys {
		var v client.Value
		var err error
		until(t, "the node to serve", time.Minute, func() bool { // on a busy machine leases may end
			v, err = c.Get(t.Context(), k)
			return !errors.Is(err, client.ErrNotServing)
		})
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		sources[v.Source]++
	}
	return sources
}

// Redis is killed, or loses everything: what one member has loaded is found by
// all, without a load.
func TestOwnersStandInForRedis(t *testing.T) {
	for name, strike := range map[string]func(f *fleet, a *client.Client){
		"killed":  func(f *fleet, _ *client.Client) { f.redis.Kill() },
		"flushed": func(f *fleet, _ *client.Client) { f.redis.Kill(); f.redis.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				t.Parallel()
				all := f.cluster("a", "b", "c")
				all.know(t, 3)
				var o origin
				keys := loadKeys(t, all["a"], &o, 40)
				all.replicated(t, time.Minute, keys)
				strike(f, all["a"])
				if s := reads(t, all["c"], keys); s["owner"] == 0 || s["disk"]+s["memory"] == 0 || s["redis"] != 0 {
					t.Errorf("answered from %v", s)
				}
				if n := o.loads.Load(); n != int64(len(keys)) {
					t.Errorf("%d loads for %d keys", n, len(keys))
				}
				// G1: nothing of it outlives its fence.
				if _, err := all["b"].Invalidate(t.Context(), client.Invalidation{Tags: []string{"tag"}}, client.Everywhere()); err != nil {
					t.Fatal(err)
				}
				for _, c := range all {
					for _, k := range keys {
						if v, err := c.Get(t.Context(), k); err == nil {
							t.Fatalf("%s: %q from %s outlives its fence", k, v.Bytes, v.Source)
						}
					}
				}
			})
		})
	}
}

// What is loaded while Redis is down is shared all the same: the receivers
// vouch for it in the witness's place.
func TestLoadedWhileRedisIsDown(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		t.Parallel()
		all := f.cluster("a", "b", "c")
		all.know(t, 3)
		f.redis.Kill()
		if _, err := all["a"].Set(t.Context(), "other", []byte("v")); err != nil { // births go up, the witness can't
			t.Fatal(err)
		}
		var o origin
		keys := loadKeys(t, all["a"], &o, 20)
		all.replicated(t, time.Minute, keys)
		for _, name := range []events.NodeID{"b", "c"} {
			reads(t, all[name], keys)
		}
		if n := o.loads.Load(); n != int64(len(keys)) {
			t.Errorf("%d loads for %d keys", n, len(keys))
		}
	})
}

// A member leaves, or is killed: its copies lie on two disks again within a
// lease, the settling and the walk.
func TestCopiesFollowTheMembers(t *testing.T) {
	const within = 12 * time.Second // of which a lease is 2, and settling 1.2
	t.Run("leaves", func(t *testing.T) {
		inDomains(t, func(t *testing.T, f *fleet) {
			t.Parallel()
			all := f.cluster("a", "b", "c")
			all.know(t, 3)
			var o origin
			keys := loadKeys(t, all["a"], &o, 40)
			all.replicated(t, time.Minute, keys)
			all.placed(t)
			if err := all["b"].Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			delete(all, "b")
			all.know(t, 2)
			all.replicated(t, within, keys)
		})
	})
	t.Run("killed", func(t *testing.T) {
		inDomains(t, func(t *testing.T, f *fleet) {
			t.Parallel()
			all := f.cluster("a", "b", "c")
			victim := f.member("victim")
			all.know(t, 4)
			var o origin
			keys := loadKeys(t, all["a"], &o, 40)
			until(t, "the owners here to hold each key", time.Minute, func() bool {
				for _, k := range keys {
					for name, c := range all {
						if slices.Contains(c.Node().Owners(k), name) && !onDisk(t, c, k) {
							return false
						}
					}
				}
				return true
			})
			all.placed(t)
			victim.kill()
			f.redis.Kill()
			// One owner of each key is left, and is asked until it answers in time.
			for name, c := range all {
				for _, k := range keys {
					until(t, "answer to "+string(name)+" for "+k, 10*time.Second, func() bool {
						_, err := c.Get(t.Context(), k)
						return err == nil
					})
				}
			}
			all.know(t, 3)
			all.replicated(t, within, keys)
			if n := o.loads.Load(); n != int64(len(keys)) {
				t.Errorf("%d loads for %d keys", n, len(keys))
			}
		})
	})
}

// placed waits until the members have been there for so long that the next
// change is one against these.
func (cs cluster) placed(t *testing.T) {
	t.Helper()
	until(t, "the members to settle", 2*time.Minute, func() bool {
		for _, c := range cs {
			if s := c.Node().Stats(); s.Unplaced != 0 {
				return false
			}
		}
		return true
	})
}
