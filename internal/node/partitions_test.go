package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// inDomains runs test in domains of one, three and eight partitions.
func inDomains(t *testing.T, test func(t *testing.T, f *fleet)) {
	for _, n := range []int{1, 3, 8} {
		t.Run(fmt.Sprintf("%d partitions", n), func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.settings.Partitions = n
				test(t, f)
			})
		})
	}
}

// spreadKeys are enough keys to lie in every partition.
func spreadKeys(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("item:%d:x", i))
	}
	return keys
}

// G1, G2: whatever the number of partitions, a token that spans them sees its
// writes on another node, and a fence of any scope reaches all that it covers
// and nothing else.
func TestFencesAndTokensSpanPartitions(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		keys := spreadKeys(40)
		for name, tc := range map[string]struct {
			scope events.Scope
			dies  func(i int) bool
		}{
			"key":    {events.Scope{Keys: []string{keys[3], keys[7], keys[11]}}, func(i int) bool { return i == 3 || i == 7 || i == 11 }},
			"tag":    {events.Scope{Tags: []string{"odd"}}, func(i int) bool { return i%2 == 1 }},
			"prefix": {events.Scope{Prefixes: []string{"item:5:"}}, func(i int) bool { return i == 5 }},
			"glob":   {events.Scope{Globs: []string{"item:2*:x"}}, func(i int) bool { return i == 2 || i/10 == 2 }},
			"all":    {events.Scope{All: true}, func(int) bool { return true }},
		} {
			var token consistency.Token
			for i, key := range keys {
				tag := []string{"even", "odd"}[i%2]
				put := must(a.Put(context.Background(), key, []byte(name), node.PutOptions{Tags: []string{tag}}))(t)
				token = token.Join(put)
			}
			read := func(i int) (string, error) {
				return b.get(keys[i], node.ReadOptions{Level: consistency.Session(token)})
			}
			for i := range keys {
				if got, err := read(i); err != nil || got != name {
					t.Fatalf("%s: %s is %q, %v with the writer's token", name, keys[i], got, err)
				}
			}
			token = token.Join(a.invalidate(tc.scope))
			for i := range keys {
				got, err := read(i)
				if dead := errors.Is(err, node.ErrNotFound); dead != tc.dies(i) || !dead && got != name {
					t.Errorf("%s: %s is %q, %v after the fence", name, keys[i], got, err)
				}
			}
		}
	})
}

// P23, P24, G9: a load that a fence outran is not kept, in whichever partition
// its key and the fence lie.
func TestLoadsAreOutrunInEveryPartition(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		for _, key := range spreadKeys(16) {
			for _, scope := range []events.Scope{{Keys: []string{key}}, {Tags: []string{"t"}}} {
				_, err := a.get(key, node.ReadOptions{Load: func(context.Context, string) (node.Loaded, error) {
					a.invalidate(scope)
					return node.Loaded{Payload: []byte("old"), Tags: []string{"t"}}, nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				a.wants(key, "")
			}
		}
	})
}

// G4, G5: a strong read, and any read behind an Everywhere write, sees what was
// written in the key's partition.
func TestStrongAndEverywhereInEveryPartition(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		for i, key := range spreadKeys(16) {
			want := fmt.Sprint(i)
			a.put(key, want)
			if got, err := b.get(key, node.ReadOptions{Level: consistency.Strong()}); err != nil || got != want {
				t.Errorf("a strong read of %s yields %q, %v", key, got, err)
			}
			if i%4 == 0 { // each waits for a pulse
				must(a.Put(context.Background(), key, []byte("everywhere"), node.PutOptions{Concern: node.Everywhere}))(t)
				if got, err := b.get(key, node.ReadOptions{Level: consistency.Eventual()}); err == nil && got != "everywhere" {
					t.Errorf("behind an Everywhere write %s is %q", key, got)
				}
			}
		}
	})
}

// G7: a node that crashed judges the keys of every partition as one that never
// died.
func TestCrashInEveryPartition(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		b := f.start("b", options{})
		keys := spreadKeys(24)
		for _, key := range keys {
			a.put(key, "kept")
		}
		for _, key := range keys {
			if got, err := b.get(key, node.ReadOptions{Level: consistency.Strong()}); err != nil || got != "kept" {
				t.Fatalf("%s is %q, %v", key, got, err)
			}
		}
		b.sync()
		left := b.crash(0)
		for i, key := range keys {
			if i%3 == 0 {
				a.invalidate(events.Scope{Keys: []string{key}})
			}
		}
		b = f.start("b", options{fs: left})
		for i, key := range keys {
			if i%3 == 0 {
				b.wants(key, "")
			} else {
				b.wants(key, "kept")
			}
		}
	})
}

// A bracket that covers keys of several partitions is open in all of them, and
// nothing is kept meanwhile.
func TestBracketSpansPartitions(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.start("a", options{}), f.start("b", options{})
		keys := spreadKeys(12)
		row := "old"
		load := func(context.Context, string) (node.Loaded, error) { return node.Loaded{Payload: []byte(row)}, nil }
		all := func(when string) {
			for _, m := range []*member{a, b} {
				for _, key := range keys {
					if got, err := m.get(key, node.ReadOptions{Load: load}); err != nil || got != row {
						t.Errorf("%s %s: %s is %q, %v; the database says %s", when, m.Node.Members()[0].Node, key, got, err, row)
					}
				}
			}
		}
		all("before")
		_, err := a.Bracketed(context.Background(), events.Scope{Keys: keys}, lease, func(context.Context, events.BracketID) error {
			all("inside, before the commit,")
			row = "new"
			all("inside, behind the commit,")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.pass(lease / 2) // the end reaches b
		all("after")
	})
}
