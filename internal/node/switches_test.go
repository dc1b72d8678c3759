package node_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// A tier that is switched off answers nothing and gets nothing. What was fenced
// meanwhile is dead when it is switched on again, there and further out.
func TestSwitchedOffTierIsLeftAlone(t *testing.T) {
	for _, off := range node.Tiers {
		t.Run(off.String(), func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) {
				f.shared, f.carrier = newSharedTier(), newCarrier()
				a, b := f.start("a", options{}), f.start("b", options{})
				keys := make([]string, 20)
				for i := range keys {
					keys[i] = fmt.Sprint("k", i)
					a.put(keys[i], "old")
				}
				f.caughtUp(b)
				for _, k := range keys {
					b.wants(k, "old")
				}
				dead := f.shared.backup()
				if err := b.SwitchOff(off); err != nil {
					t.Fatal(err)
				}
				for i, k := range keys {
					switch i % 3 {
					case 0:
						a.invalidate(events.Scope{Keys: []string{k}})
					case 1:
						b.put(k, "new")
					}
				}
				f.caughtUp(b)
				want := func(i int) string { return [...]string{"", "new", "old"}[i%3] }
				f.shared.restore(dead) // whatever was deleted or overwritten there
				for i, k := range keys {
					r, err := b.Get(t.Context(), k, nil, node.ReadOptions{})
					switch {
					case errors.Is(err, node.ErrNotFound): // it lay in that tier only
					case err != nil:
						t.Fatal(err)
					case r.Source == off || string(r.Entry.Payload()) != want(i):
						t.Fatalf("%s: %q from %v, want %q", k, r.Entry.Payload(), r.Source, want(i))
					}
				}
				if err := b.SwitchOn(off); err != nil {
					t.Fatal(err)
				}
				for i, k := range keys {
					switch got, err := b.get(k, node.ReadOptions{}); {
					case errors.Is(err, node.ErrNotFound):
					case err != nil || got != want(i):
						t.Fatalf("%s, switched on again: %q, %v; want %q", k, got, err, want(i))
					}
				}
				b.put("again", "v")
				b.wants("again", "v")
			})
		})
	}
}

// Switched off, a tier stays empty; the others do its work.
func TestSwitchedOffTierGetsNothing(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		a := f.start("a", options{config: func(c *node.Config) { c.TiersOff = []node.Source{node.FromShared, node.FromMemory} }})
		a.put("k", "v")
		for range 2 {
			r, err := a.Get(t.Context(), "k", nil, node.ReadOptions{})
			if err != nil || r.Source != node.FromDisk {
				t.Fatalf("from %v, %v; want the disk", r.Source, err)
			}
		}
		if n := len(f.shared.backup()); n != 0 {
			t.Fatalf("%d copies in a shared tier that is off", n)
		}
		if err := errors.Join(a.SwitchOff(node.FromDisk), a.SwitchOff(node.FromDisk)); err != nil {
			t.Fatal(err)
		}
		a.wants("k", "")
		if _, err := a.Scan(t.Context(), "", 10, func(string) bool { return true }); err == nil || errors.Is(err, tiers.ErrUnavailable) {
			t.Fatalf("scan of a disk that is off: %v", err)
		}
		if v, err := a.get("k", node.ReadOptions{Load: loads("loaded")}); err != nil || v != "loaded" {
			t.Fatalf("%q, %v", v, err)
		}
		a.wants("k", "") // nothing was there to keep it
		if a.Stats().DisksLost+a.Stats().SharedErrors != 0 {
			t.Fatalf("a switch counts as a failure: %+v", a.Stats())
		}
		for _, s := range a.TierStates() {
			if owner := s.Tier == node.FromOwner; s.On != owner || s.Present == owner {
				t.Fatalf("%+v", s)
			}
		}
		if err := a.SwitchOff(node.FromOrigin); !errors.Is(err, events.ErrInvalid) {
			t.Fatalf("the origin is no tier: %v", err)
		}
		for _, s := range node.Tiers {
			if err := a.SwitchOn(s); err != nil {
				t.Fatal(err)
			}
		}
		a.put("k", "w")
		r, err := a.Get(t.Context(), "k", nil, node.ReadOptions{})
		if err != nil || r.Source != node.FromMemory || len(f.shared.backup()) != 1 {
			t.Fatalf("from %v, %v; %d copies in the shared tier", r.Source, err, len(f.shared.backup()))
		}
	})
}
