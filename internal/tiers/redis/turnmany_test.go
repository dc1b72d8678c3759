package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/turn"
	"github.com/raptorflow/tercet/internal/turn/turntest"
	"github.com/raptorflow/tercet/test/process"
)

// manyGranter takes every turn as one of several.
type manyGranter struct{ granter }

func (g manyGranter) Take(ctx context.Context, r turn.Request) (turn.Answer, error) {
	other := turntest.Claim(fmt.Sprintf("beside %s of %d", r.Key, r.Token.Counter), 99, 1)
	taken := g.TakeTurns(ctx, []turn.Request{{Claim: other, For: time.Second}, r})
	if !taken[0].Granted {
		return turn.Answer{}, fmt.Errorf("the turn beside: %+v", taken[0])
	}
	return taken[1].Answer, taken[1].Err
}

func TestTurnsTakenTogether(t *testing.T) {
	turntest.Run(t, func(t *testing.T) turntest.Subject {
		tier, server := onMiniredis(t)
		return turntest.Subject{Granter: manyGranter{granter{tier}}, Pass: server.FastForward}
	})
}

// Many turns cost a trip for each pipeline, and one more while the server does not know
// the script; a key that can't have a turn fails alone.
func TestManyTurnsInOneTrip(t *testing.T) {
	tier := open(t, Config{Client: client(t, process.Redis(t).URL()), Timeout: 10 * time.Second})
	ask := func(node uint64) []turn.Taken {
		var rs []turn.Request
		for i := range 20 {
			rs = append(rs, turn.Request{Claim: turntest.Claim(fmt.Sprint("k", i), node, 20), Need: 20, Sure: 99, For: time.Minute})
		}
		rs[7].Key = "closing } brace"
		return tier.TakeTurns(t.Context(), rs)
	}
	for node, trips := range map[uint64]uint64{1: 2, 2: 1} {
		if node == 2 {
			ask(1) // whichever comes first: the turns are the first node's
		}
		before := tier.Stats().Trips
		for i, a := range ask(node) {
			if i == 7 {
				if !errors.Is(a.Err, tiers.ErrUnavailable) {
					t.Errorf("%+v of a key that can't have a turn", a)
				}
			} else if a.Err != nil || a.Granted != (node == 1) || a.Held != (node == 2) {
				t.Errorf("node %d, key %d: %+v", node, i, a)
			}
		}
		if got := tier.Stats().Trips - before; got > trips {
			t.Errorf("node %d: %d trips, want %d", node, got, trips)
		}
	}
}

// A server that does not answer fails every turn, and the bulkhead too.
func TestManyTurnsWithoutAServer(t *testing.T) {
	server := process.Redis(t)
	tier := open(t, Config{Client: client(t, server.URL()), Timeout: 100 * time.Millisecond})
	server.Kill()
	rs := []turn.Request{{Claim: turntest.Claim("a", 1, 1), For: time.Second}, {Claim: turntest.Claim("b", 1, 1), For: time.Second}}
	for _, a := range tier.TakeTurns(t.Context(), rs) {
		if !errors.Is(a.Err, tiers.ErrUnavailable) || a.Granted {
			t.Errorf("%+v", a)
		}
	}
	for tier.enter() { // fill the bulkhead
	}
	for _, a := range tier.TakeTurns(t.Context(), rs) {
		if !errors.Is(a.Err, tiers.ErrUnavailable) || a.Granted {
			t.Errorf("past a full bulkhead: %+v", a)
		}
	}
}
