package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/turn"
	"github.com/raptorflow/tercet/internal/turn/turntest"
	"github.com/raptorflow/tercet/test/process"
)

// granter gives the tier the suite's words.
type granter struct{ *Tier }

func (g granter) Take(ctx context.Context, r turn.Request) (turn.Answer, error) {
	return g.TakeTurn(ctx, r)
}

func (g granter) Extend(ctx context.Context, c turn.Claim, d time.Duration) (bool, error) {
	return g.ExtendTurn(ctx, c, d)
}

func (g granter) Release(ctx context.Context, c turn.Claim) (turn.Ended, error) {
	return g.ReleaseTurn(ctx, c)
}

// onMiniredis opens a tier on a server whose clock the test moves.
func onMiniredis(t *testing.T) (*Tier, *miniredis.Miniredis) {
	server := miniredis.RunT(t)
	return open(t, Config{Client: client(t, "redis://"+server.Addr()), Timeout: 10 * time.Second}), server
}

func TestTurnsOnMiniredis(t *testing.T) {
	turntest.Run(t, func(t *testing.T) turntest.Subject {
		tier, server := onMiniredis(t)
		return turntest.Subject{Granter: granter{tier}, Pass: server.FastForward}
	})
}

func TestTurns(t *testing.T) {
	server := process.Redis(t)
	c := client(t, server.URL())
	turntest.Run(t, func(t *testing.T) turntest.Subject {
		if err := c.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		tier := open(t, Config{Client: c, Timeout: 10 * time.Second})
		return turntest.Subject{Granter: granter{tier}, Pass: func(d time.Duration) {
			<-time.After(d) // a real server's keys end in real time
		}}
	})
}

// entryOf returns an entry that was born at birth.
func entryOf(t *testing.T, key string, epoch events.Epoch, birth events.Position) tiers.Entry {
	t.Helper()
	h := tiers.Header{Key: key, Epoch: epoch, Birth: birth, Created: time.Now(), Expiry: time.Now().Add(time.Hour)}
	e, err := tiers.Append(nil, &h, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Who asks just after a load has ended gets what it brought: the look at the
// entry and the grant are one step.
func TestTurnComesWithTheCopy(t *testing.T) {
	tier, server := onMiniredis(t)
	ctx := t.Context()
	if err := tier.Put(ctx, entryOf(t, "k", turntest.Epoch, 10)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		from, sure   events.Position
		anew         bool
		granted, got bool
	}{
		"certain":          {from: 10, sure: 10, got: true},
		"not certain":      {from: 10, sure: 11, got: true, granted: true},
		"born too early":   {from: 11, sure: 11, granted: true},
		"known to be none": {from: 0, sure: 0, anew: true, granted: true},
	} {
		r := turn.Request{Claim: turntest.Claim("k", 1, 20), From: tc.from, Sure: tc.sure, Anew: tc.anew, For: time.Minute}
		a, err := tier.TakeTurn(ctx, r)
		if err != nil || a.Granted != tc.granted || (a.Copy != nil) != tc.got || a.Held {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if _, err := tier.ReleaseTurn(ctx, r.Claim); err != nil {
			t.Fatal(err)
		}
	}
	other := turntest.Claim("k", 1, 20)
	if _, err := tier.TakeTurn(ctx, turn.Request{Claim: other, Sure: 99, For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	a, err := tier.TakeTurn(ctx, turn.Request{Claim: turntest.Claim("k", 2, 20), Sure: 99, For: time.Minute})
	if err != nil || !a.Held || a.Copy == nil {
		t.Errorf("a held turn and a copy that may serve: %+v, %v", a, err)
	}
	if err := server.Set(tier.name(turntest.Epoch, "l"), "\x7e\x01 no entry of ours"); err != nil {
		t.Fatal(err)
	}
	if a, err := tier.TakeTurn(ctx, turn.Request{Claim: turntest.Claim("l", 1, 20), For: time.Minute}); err != nil || !a.Granted || a.Copy != nil {
		t.Errorf("behind a damaged entry: %+v, %v", a, err)
	}
}

// A turn lies in the slot of its entry, whatever braces the key has, or there
// is none.
func TestTurnsShareTheirEntrysSlot(t *testing.T) {
	cluster := process.Cluster(t, 3)
	tier := open(t, Config{Client: client(t, cluster.URL()), Timeout: 10 * time.Second})
	for key, want := range map[string]bool{
		"k": true, "user:{17}:name": true, "a{b": true, "{}": false, "a}b": false, "a}{b}c": true, "{{x}}": true, "{}{x}": false,
	} {
		r := turn.Request{Claim: turntest.Claim(key, 1, 20), For: time.Minute}
		a, err := tier.TakeTurn(t.Context(), r)
		if want != (err == nil && a.Granted) || !want && !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("%s: %+v, %v", key, a, err)
		}
		if !want {
			continue
		}
		if e, err := tier.ReleaseTurn(t.Context(), r.Claim); err != nil || e != (turn.Ended{}) {
			t.Errorf("%s: %+v, %v", key, e, err)
		}
	}
}
