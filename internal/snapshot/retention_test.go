package snapshot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
)

func TestPlan(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	// Newest first: name, hours ago, base.
	at := func(name string, hours int, base ...string) snapshot.Manifest {
		m := snapshot.Manifest{ID: name, Kind: snapshot.Full, Created: now.Add(-time.Duration(hours) * time.Hour)}
		if len(base) > 0 {
			m.Base, m.Depth = base[0], 1
		}
		return m
	}
	fences := func(name string, hours int) snapshot.Manifest {
		m := at(name, hours)
		m.Kind = snapshot.Fences
		return m
	}
	all := []snapshot.Manifest{at("g", 1), at("f", 2, "c"), fences("x", 3), at("e", 5), fences("w", 6), at("d", 30), at("c", 31), at("b", 54), at("a", 300)}
	for name, c := range map[string]struct {
		r    snapshot.Retention
		drop string
	}{
		"all":              {snapshot.Retention{}, ""},
		"last one":         {snapshot.Retention{Last: 1}, "f a b c d w e"}, // increments first
		"base of a kept":   {snapshot.Retention{Last: 2}, "a b d e"},
		"days":             {snapshot.Retention{Last: 1, Daily: 3}, "f a c w e"},
		"age":              {snapshot.Retention{MaxAge: 40 * time.Hour}, "a b"},
		"age and last":     {snapshot.Retention{Last: 1, Daily: 30, MaxAge: 40 * time.Hour}, "f a b c w e"},
		"nothing is young": {snapshot.Retention{MaxAge: time.Minute}, "f a b c d w e"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range c.r.Plan(now, all) {
				got = append(got, m.ID)
			}
			if strings.Join(got, " ") != c.drop {
				t.Errorf("drops %q, want %q", strings.Join(got, " "), c.drop)
			}
		})
	}
	if d := (snapshot.Retention{Last: 1}).Plan(now, nil); len(d) != 0 {
		t.Errorf("of nothing it drops %v", d)
	}
}

// What a prune that was cut off has left is data without a manifest; the next one
// takes it, once nobody can be writing it any more.
func TestPruneTakesWhatWasLeftBehind(t *testing.T) {
	s := &storetest.Memory{}
	at := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	c := catalogue(t, s, func(c *snapshot.Config) { c.Now = at.now })
	m := create(t, c, snapshot.Draft{}, some(t))
	kept := create(t, c, snapshot.Draft{}, some(t))
	if err := s.Remove(t.Context(), "shop/"+m.ID+".manifest"); err != nil {
		t.Fatal(err)
	}
	for n, age := range []time.Duration{0, 2 * snapshot.Unfinished} {
		at.at = at.at.Add(age)
		pruned, err := c.Prune(t.Context(), snapshot.Retention{})
		if err != nil || len(pruned) != n {
			t.Fatalf("pruned %q, %v, want %d", pruned, err, n)
		}
	}
	if names, _ := s.List(t.Context(), ""); len(names) != 2 {
		t.Errorf("left: %q", names)
	}
	if err := c.Verify(t.Context(), kept); err != nil {
		t.Error(err)
	}
}

func TestWorth(t *testing.T) {
	image := snapshot.Manifest{Rows: 4000, Copies: 10} // worth 1000 records
	fences := snapshot.Manifest{Rows: 4000}
	for name, c := range map[string]struct {
		m    snapshot.Manifest
		own  snapshot.Own
		want error
	}{
		"own disk is near":     {image, snapshot.Own{Tail: 1100}, snapshot.ErrSlower},
		"own disk is far":      {image, snapshot.Own{Tail: 1101}, nil},
		"own disk is useless":  {image, snapshot.Own{Tail: 10, Proof: snapshot.ErrTrimmed}, nil},
		"own epoch is over":    {image, snapshot.Own{Tail: 10, Proof: snapshot.ErrOldEpoch}, nil},
		"own disk contradicts": {image, snapshot.Own{Tail: 5000, Proof: snapshot.ErrOtherHistory}, snapshot.ErrEvidence},
		"own disk is unproved": {image, snapshot.Own{Tail: 5000, Proof: snapshot.ErrUnproved}, snapshot.ErrEvidence},
		"none, and copies":     {image, snapshot.Own{Tail: 10, Proof: snapshot.ErrNotFound}, nil},
		"none, short log":      {fences, snapshot.Own{Tail: 1100, Proof: snapshot.ErrNotFound}, snapshot.ErrSlower},
		"none, long log":       {fences, snapshot.Own{Tail: 1101, Proof: snapshot.ErrNotFound}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := snapshot.Worth(c.m, c.own, 100); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
