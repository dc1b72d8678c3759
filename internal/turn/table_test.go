package turn_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/turn"
	"github.com/raptorflow/tercet/internal/turn/turntest"
)

// table is a Table at a time of its own.
type table struct {
	turn.Table
	now int64
}

func (g *table) Take(_ context.Context, r turn.Request) (turn.Answer, error) {
	return g.Table.Take(g.now, r), nil
}

func (g *table) Extend(_ context.Context, c turn.Claim, d time.Duration) (bool, error) {
	return g.Table.Extend(g.now, c, d), nil
}

func (g *table) Release(_ context.Context, c turn.Claim) (turn.Ended, error) {
	return g.Table.Release(g.now, c, nil, 0), nil
}

func TestTable(t *testing.T) {
	turntest.Run(t, func(*testing.T) turntest.Subject {
		g := &table{now: 1}
		return turntest.Subject{Granter: g, Pass: func(d time.Duration) { g.now += int64(d) }}
	})
}

// Who asks a moment after a load has ended is told what it brought, if that
// serves, and for as long as it was to be remembered.
func TestTableRemembersAnnouncements(t *testing.T) {
	var g turn.Table
	a := turntest.Claim("k", 1, 10)
	g.Take(0, turn.Request{Claim: a, For: 100})
	g.Release(50, a, &turn.Filled{Claim: a, Outcome: turn.Kept}, 100)
	late := turn.Request{Claim: turntest.Claim("k", 2, 20), Need: 10, For: 100}
	if got := g.Take(60, late); got.Filled == nil || got.Granted || got.Held {
		t.Fatalf("%+v, want the announcement", got)
	}
	newer := late
	newer.Token.Counter, newer.Need = 3, 11
	if got := g.Take(60, newer); !got.Granted {
		t.Fatalf("%+v, want a turn: the load began before a fence", got)
	}
	g.Release(70, newer.Claim, nil, 0)
	if got := g.Take(149, late); got.Filled == nil {
		t.Fatalf("%+v, want the announcement", got)
	}
	if got := g.Take(150, late); !got.Granted {
		t.Fatalf("%+v, want a turn: too late", got)
	}
	g.Release(151, late.Claim, &turn.Filled{Claim: late.Claim, Outcome: turn.Kept}, 100)
	late.Token.Counter, late.Anew = 4, true
	if got := g.Take(152, late); !got.Granted {
		t.Fatalf("%+v, want a turn: what was there is of no use", got)
	}
}

// A table holds so much and no more, and frees what has ended.
func TestTableIsBounded(t *testing.T) {
	var g turn.Table
	large := make([]byte, 1<<20)
	for round := range int64(3) {
		now := round * 1000
		remembered := 0
		for i := range uint64(100) {
			c := turntest.Claim(fmt.Sprintf("%d", i), i, 10)
			g.Take(now, turn.Request{Claim: c, For: 100})
			g.Release(now, c, &turn.Filled{Claim: c, Outcome: turn.Kept, Entry: large}, 100)
			c.Token.Counter++
			if g.Take(now, turn.Request{Claim: c, For: 100}).Filled != nil {
				remembered++
			}
		}
		if remembered != 16 {
			t.Fatalf("round %d: %d MiB remembered, want 16", round, remembered)
		}
	}
	for i := range uint64(100_000) {
		c := turntest.Claim(fmt.Sprintf("%d", i), i, 10)
		if !g.Take(10_000, turn.Request{Claim: c, For: 100}).Granted {
			t.Fatal("no turn; a full table lets everybody load")
		}
	}
}
