package node_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/turn"
)

// A load that fails passes its turn on at once, to one of those who wait.
func TestFailedLoadPassesItsTurnOn(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(4, options{})
		fail := make(chan struct{})
		first := ms[0].reads("k", func(context.Context, string) (node.Loaded, error) {
			<-fail
			return node.Loaded{}, errors.New("origin is down")
		})
		origin := newGate("v")
		var rs []*reading
		for _, m := range ms[1:] {
			rs = append(rs, m.reads("k", origin.load))
		}
		p.wantLoads(origin, 0)
		close(fail)
		<-first.done
		if first.err == nil {
			t.Fatal("no error")
		}
		synctest.Wait()
		p.wantLoads(origin, 1)
		close(origin.open)
		for i, r := range rs {
			r.yields(ms[i+1], "v")
		}
		p.wantLoads(origin, 1)
	})
}

// A node that dies in mid load is waited for until its turn ends, and no
// longer; then one of those who wait loads.
func TestDeadFillerIsReplaced(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(4, options{})
		a := ms[0]
		a.reads("k", newGate("never").load)
		origin := newGate("v")
		var rs []*reading
		for _, m := range ms[1:] {
			rs = append(rs, m.reads("k", origin.load))
		}
		p.ends["a"].setCut(true)
		p.line.mu.Lock()
		for id, x := range p.line.there {
			if x == p.ends["a"] {
				delete(p.line.there, id)
			}
		}
		p.line.mu.Unlock()
		p.pass(turnLength + 100*time.Millisecond)
		p.wantLoads(origin, 1)
		close(origin.open)
		for i, r := range rs {
			r.yields(ms[i+1], "v")
		}
		p.wantLoads(origin, 1)
	})
}

// A load that takes longer than a turn keeps it.
func TestSlowLoadKeepsItsTurn(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(3, options{})
		origin := newGate("v")
		var rs []*reading
		for _, m := range ms {
			rs = append(rs, m.reads("k", origin.load))
		}
		p.pass(5 * turnLength)
		close(origin.open)
		for i, r := range rs {
			r.yields(ms[i], "v")
		}
		p.wantLoads(origin, 1)
	})
}

// A filler that was cut off has lost its turn. Its late release ends nobody
// else's, and what it brings late changes nothing (G9).
func TestLateReleaseLeavesTheNextTurn(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(4, options{})
		slow, origin := newGate("slow"), newGate("v")
		first := ms[0].reads("k", slow.load)
		second := ms[1].reads("k", origin.load)
		p.ends["a"].setCut(true)
		p.pass(turnLength + turnLength/2)
		p.wantLoads(origin, 1)
		p.line.lose = func(turn.Filled) bool { return true } // what the slow one brings is not heard of
		p.ends["a"].setCut(false)
		f := p.shared
		close(slow.open)
		first.yields(ms[0], "slow")
		synctest.Wait()
		if f != nil {
			f.Clear(context.Background())
		}
		p.line.lose = nil
		third := ms[2].reads("k", origin.load)
		p.pass(turnLength / 2)
		if p.redis != nil {
			p.wantLoads(origin, 1) // owners pass on the slow one's value instead
		}
		close(origin.open)
		second.yields(ms[1], "v")
		<-third.done
		p.wantLoads(origin, 1)
		if n := ms[0].Stats().TurnsLost; n != 1 && p.redis != nil {
			t.Errorf("%d turns lost, want 1", n)
		}
	})
}

// Redis fails while one node loads and another waits: the holder takes its turn
// along to the slot's owner, before whoever waits asks there.
func TestTurnOutlivesTheServerThatGrantedIt(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		p := f.party(true)
		ms := p.several(3, options{})
		origin := newGate("v")
		first := ms[0].reads("k", origin.load)
		second := ms[1].reads("k", origin.load)
		p.setDown(true)
		p.pass(3 * turnLength)
		third := ms[2].reads("k", origin.load)
		p.wantLoads(origin, 1)
		close(origin.open)
		for i, r := range []*reading{first, second, third} {
			r.yields(ms[i], "v")
		}
		p.wantLoads(origin, 1)
		if n := p.ends["a"].heard; len(n) != 0 {
			t.Errorf("the holder listens to %v: it has nothing to wait for", n)
		}
	})
}

// A value that is not to be shared is loaded by each for itself, at once.
func TestUnsharedValuesAreNotWaitedForTwice(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(4, options{})
		slow := func(context.Context, string) (node.Loaded, error) {
			time.Sleep(time.Second)
			return node.Loaded{Payload: []byte("v"), NoStore: true}, nil
		}
		began := time.Now()
		var rs []*reading
		for _, m := range ms {
			rs = append(rs, m.reads("k", slow))
		}
		for i, r := range rs {
			r.yields(ms[i], "v")
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v, want one load and then all others at once", took)
		}
	})
}
