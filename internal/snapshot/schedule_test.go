package snapshot_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
)

func TestSchedule(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	at := func(minutes, depth int, kind snapshot.Kind) snapshot.Manifest {
		return snapshot.Manifest{ID: "m", Kind: kind, Depth: depth, Created: now.Add(-time.Duration(minutes) * time.Minute)}
	}
	s := snapshot.Schedule{Every: time.Hour, FullEvery: 3}
	for name, c := range map[string]struct {
		all  []snapshot.Manifest
		wait time.Duration
		base bool
	}{
		"none":                 {nil, 0, false},
		"young":                {[]snapshot.Manifest{at(20, 0, snapshot.Full)}, 40 * time.Minute, false},
		"old":                  {[]snapshot.Manifest{at(60, 1, snapshot.Full)}, 0, true},
		"long chain":           {[]snapshot.Manifest{at(60, 2, snapshot.Full)}, 0, false},
		"young, but of fences": {[]snapshot.Manifest{at(1, 0, snapshot.Fences), at(70, 0, snapshot.Full)}, 0, true},
		"of the future":        {[]snapshot.Manifest{at(-90, 0, snapshot.Full)}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			wait, base := s.Next(now, c.all, snapshot.Full)
			if wait != c.wait || (base != nil) != c.base {
				t.Errorf("wait %v, base %v, want %v, %v", wait, base, c.wait, c.base)
			}
		})
	}
}

func TestDiff(t *testing.T) {
	s := &storetest.Memory{}
	c := catalogue(t, s)
	version := func(name, held string) snapshot.Row {
		return snapshot.Row{Kind: snapshot.RowVersion, Name: name, Held: []byte(held)}
	}
	a := create(t, c, snapshot.Draft{}, []snapshot.Row{version("a", "1"), version("b", "1"), version("d", "1"), version("e", "1")})
	b := create(t, c, snapshot.Draft{Base: &a}, []snapshot.Row{version("b", "1"), version("c", "1"), version("d", "2")})
	var got []string
	seen := func(l, r *snapshot.Row) error {
		switch {
		case l == nil:
			got = append(got, "+"+r.Name)
		case r == nil:
			got = append(got, "-"+l.Name)
		default:
			got = append(got, "~"+l.Name)
		}
		return nil
	}
	if err := c.Diff(t.Context(), a, b, seen); err != nil || !slices.Equal(got, []string{"-a", "+c", "~d", "-e"}) {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Remove(t.Context(), "shop/"+b.ID+".data"); err != nil {
		t.Fatal(err)
	}
	if err := c.Diff(t.Context(), a, b, seen); !errors.Is(err, snapshot.ErrTorn) {
		t.Errorf("%v, want ErrTorn", err)
	}
}
