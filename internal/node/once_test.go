package node_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/turn"
)

// turnLength is how long turns are by default.
const turnLength = 3 * time.Second

// inParty runs test in a fleet whose turns Redis grants, and in one where the
// owners of slots do.
func inParty(t *testing.T, test func(t *testing.T, p *party)) {
	for name, shared := range map[string]bool{"redis": true, "owners": false} {
		t.Run(name, func(t *testing.T) {
			inDomains(t, func(t *testing.T, f *fleet) { test(t, f.party(shared)) })
		})
	}
}

// wantLoads fails the test unless the origin was asked that often.
func (p *party) wantLoads(g *gate, n int) {
	p.t.Helper()
	if got := g.count(); got != n {
		p.t.Fatalf("%d loads, want %d", got, n)
	}
}

// G10: one load for any number of readers on any number of nodes.
func TestFleetLoadsOnce(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(5, options{})
		origin := newGate("v", "tag")
		var rs []*reading
		for range 3 {
			for _, m := range ms {
				rs = append(rs, m.reads("k", origin.load))
			}
		}
		p.pass(time.Second)
		began := time.Now()
		close(origin.open)
		for i, r := range rs {
			r.yields(ms[i%len(ms)], "v")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("readers had the value %v after the load", took)
		}
		p.wantLoads(origin, 1)
		led, joined := uint64(0), uint64(0)
		for _, m := range ms {
			s := m.Stats()
			led, joined = led+s.Led, joined+s.JoinedFleet
			m.wants("k", "v")
		}
		if led != 1 || joined != 4 {
			t.Errorf("%d loads led, %d joined, want 1 and 4", led, joined)
		}
	})
}

// A node that asks a moment after a load has ended does not load again, nor
// does one whose announcement was lost, and nobody announces to nobody.
func TestLateAskersDoNotLoadAgain(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(3, options{})
		origin := newGate("v")
		p.line.lose = func(turn.Filled) bool { return true }
		first := ms[0].reads("k", origin.load)
		waiting := ms[1].reads("k", origin.load)
		p.pass(turnLength / 2)
		began := time.Now()
		close(origin.open)
		first.yields(ms[0], "v")
		waiting.yields(ms[1], "v")
		if took := time.Since(began); took > turnLength {
			t.Errorf("the announcement was lost, and the reader waited %v", took)
		}
		if p.redis == nil {
			// Redis answers the read before the load; an owner as the turn is asked for.
			ms[2].reads("k", origin.load).yields(ms[2], "v")
		}
		p.wantLoads(origin, 1)
		announced := p.line.announced
		ms[2].reads("l", loads("w")).yields(ms[2], "w")
		p.pass(time.Second)
		if p.line.announced != announced {
			t.Error("a load that nobody waited for was announced")
		}
	})
}

// The look at the shared copy and the grant are one step: a reader who missed
// before the filler stored, and asks for a turn after it has released, takes
// what is there.
func TestTurnAskedBehindTheLoadTakesTheCopy(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		p := f.party(true)
		origin := newGate("v", "tag")
		var held barrier
		a := p.start("a", options{})
		b := p.start("b", options{deps: func(d *node.Deps) { d.Shared = slowShared{f.shared, &held} }})
		p.acquainted(a, b)
		a.invalidate(events.Scope{Tags: []string{"another"}}) // copies are not certain to serve from here on
		f.caughtUp(b)
		held.shut()
		late := b.reads("k", origin.load) // has missed, and does not know it yet
		close(origin.open)
		a.reads("k", origin.load).yields(a, "v")
		synctest.Wait()
		held.open()
		late.yields(b, "v")
		p.wantLoads(origin, 1)
	})
}

// P26 in the fleet: whoever reads after a fence takes no value of a load that
// began before it, wherever that runs; and those readers share one load too.
func TestFleetReadersAfterAFenceLoadAnew(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(4, options{})
		origin := newGate("old")
		before := ms[0].reads("k", origin.load)
		joined := ms[1].reads("k", origin.load)
		origin.now("new")
		ms[3].invalidate(events.Scope{Keys: []string{"k"}})
		for _, m := range ms {
			p.caughtUp(m)
		}
		after, shared := ms[2].reads("k", origin.load), ms[3].reads("k", origin.load)
		p.wantLoads(origin, 2)
		behind := ms[1].reads("k", origin.load) // in the process that waits for the old load
		p.wantLoads(origin, 2)
		close(origin.open)
		before.yields(ms[0], "old")
		<-joined.done
		for i, r := range []*reading{behind, after, shared} {
			r.yields(ms[i+1], "new")
		}
		p.wantLoads(origin, 2)
		for _, m := range ms[1:] {
			m.wants("k", "new")
		}
	})
}

// P26: a session takes no value of a load that began before its token.
func TestFleetSessionsJoinNothingOlderThanTheirToken(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(2, options{})
		origin := newGate("old")
		before := ms[0].reads("k", origin.load)
		token := ms[0].put(p.near("other"), "x")
		p.caughtUp(ms[1])
		origin.now("new")
		session := make(chan string, 1)
		go func() {
			v, _ := ms[1].get("k", node.ReadOptions{Load: origin.load, Level: consistency.Session(token)})
			session <- v
		}()
		synctest.Wait()
		p.wantLoads(origin, 2)
		close(origin.open)
		before.yields(ms[0], "old")
		if v := <-session; v != "new" {
			t.Fatalf("%q", v)
		}
	})
}

// P24: tags are known only when the load has ended. The filler had not applied
// the fence, whoever waits for it had.
func TestFleetReadersMindTags(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(3, options{})
		origin := newGate("old", "tag")
		before := ms[0].reads("k", origin.load)
		ms[0].log.Cut()
		origin.now("new")
		ms[2].invalidate(events.Scope{Tags: []string{"tag"}})
		p.caughtUp(ms[1])
		after := ms[1].reads("k", origin.load)
		p.wantLoads(origin, 1) // it waits
		close(origin.open)
		before.yields(ms[0], "old")
		after.yields(ms[1], "new")
	})
}

// H8: joining is serving, on whatever node the load runs. And a node that is
// cut off leads no load for others.
func TestNoTurnsUnderALapsedLease(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		p.settings.Policy = events.PolicyServe
		ms := p.several(2, options{config: func(c *node.Config) { c.LoadTimeout = time.Hour }})
		origin := newGate("old")
		before := ms[0].reads("k", origin.load)
		ms[1].log.Cut()
		p.pass(2 * lease)
		origin.now("new")
		after := ms[1].reads("k", origin.load)
		p.pass(time.Second)
		p.wantLoads(origin, 2)
		close(origin.open)
		before.yields(ms[0], "old")
		after.yields(ms[1], "new")
	})
}

// H7: loads past the cache neither hold nor join.
func TestNoTurnsUnderABracket(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(2, options{})
		origin := newGate("before the commit")
		ms[0].inBracket(func() {
			p.caughtUp(ms[1])
			first := ms[0].reads("k", origin.load)
			origin.now("after the commit")
			second := ms[1].reads("k", origin.load)
			p.wantLoads(origin, 2)
			close(origin.open)
			first.yields(ms[0], "before the commit")
			second.yields(ms[1], "after the commit")
		})
		if s := ms[0].Stats(); s.Led != 0 {
			t.Errorf("%d turns held", s.Led)
		}
	})
}

// H5 without a witness: a value that came with an announcement is taken only
// from who has applied the same history.
func TestAnnouncedValueOfAnotherHistoryIsNotTaken(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		p := f.party(false)
		ms := p.several(2, options{})
		origin := newGate("theirs")
		p.line.change = func(f *turn.Filled) { f.Digest[0]++ }
		first := ms[0].reads("k", origin.load)
		second := ms[1].reads("k", origin.load)
		origin.now("ours")
		close(origin.open)
		first.yields(ms[0], "theirs")
		second.yields(ms[1], "ours")
		p.wantLoads(origin, 2)
	})
}

// What the origin does not have is an answer as any other.
func TestFleetSharesNotFound(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(3, options{})
		origin := newGate("")
		nothing := func(ctx context.Context, key string) (node.Loaded, error) {
			l, err := origin.load(ctx, key)
			l.Flags, l.Payload = tiers.FlagNegative, nil
			return l, err
		}
		var rs []*reading
		for _, m := range ms {
			rs = append(rs, m.reads("k", nothing))
		}
		close(origin.open)
		for _, r := range rs {
			if <-r.done; !errors.Is(r.err, node.ErrNotFound) {
				t.Errorf("%v, want ErrNotFound", r.err)
			}
		}
		p.wantLoads(origin, 1)
	})
}

// A node that is alone in its domain, and a read that asks for it, loads
// without asking anybody.
func TestLoadsThatTakeNoTurn(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		p := f.party(true)
		a := p.start("a", options{})
		a.reads("k", loads("v")).yields(a, "v")
		if p.redis.takes != 0 {
			t.Errorf("alone, and %d turns asked for", p.redis.takes)
		}
		b := p.start("b", options{})
		p.acquainted(a, b)
		if v, err := a.get("l", node.ReadOptions{Load: loads("v"), LoadAlone: true}); err != nil || v != "v" {
			t.Errorf("%q, %v", v, err)
		}
		if p.redis.takes != 0 {
			t.Errorf("%d turns asked for by a load that wants none", p.redis.takes)
		}
		a.reads("m", loads("v")).yields(a, "v")
		if p.redis.takes != 1 {
			t.Errorf("%d turns asked for, want 1 for a load that nobody disputes", p.redis.takes)
		}
	})
}

// P50: however many readers find nothing at once, loads begin at the pace that
// the origin can take.
func TestAdmissionPacesLoads(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{config: func(c *node.Config) { c.LoadRate = 10; c.LoadTimeout = 2 * time.Second }})
		began := time.Now()
		var rs []*reading
		for i := range 40 {
			rs = append(rs, a.reads(string(rune('A'+i)), loads("v")))
		}
		refused := 0
		for _, r := range rs {
			if <-r.done; errors.Is(r.err, node.ErrOverloaded) {
				refused++
			} else if r.err != nil {
				t.Fatal(r.err)
			}
		}
		// Ten at once, and ten a second for as long as a load may take.
		if got := a.Stats().Loads; got != 30 || refused != 10 {
			t.Errorf("%d loads, %d refused, want 30 and 10", got, refused)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
