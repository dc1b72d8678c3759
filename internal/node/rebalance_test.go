package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/node"
)

// replicated reports whether every key lies on the disks of all its owners
// among ms.
func replicated(keys []string, ms ...*member) bool {
	for _, k := range keys {
		held := 0
		for _, m := range ms {
			for _, o := range ms[0].Owners(k) {
				if o == m.name() && m.onDisk(k) != nil {
					held++
				}
			}
		}
		if held < 2 {
			return false
		}
	}
	return true
}

func (f *fleet) within(d time.Duration, what string, cond func() bool) {
	f.t.Helper()
	began := time.Now()
	f.await(what, cond)
	if took := time.Since(began); took > d {
		f.t.Errorf("%s: took %v, want %v at most", what, took, d)
	}
}

// When members come and go, copies move until R nodes have each again: within
// the time in which a silent member is certainly gone, the settling, and the
// walk.
func TestCopiesMoveWithTheMembers(t *testing.T) {
	const moving = 3 * lease
	for name, change := range map[string]func(f *fleet, ms []*member) []*member{
		"one leaves": func(_ *fleet, ms []*member) []*member { ms[1].stop(); return []*member{ms[0], ms[2]} },
		"one dies":   func(_ *fleet, ms []*member) []*member { ms[1].crash(0); return []*member{ms[0], ms[2]} },
		"one comes":  func(f *fleet, ms []*member) []*member { return append(ms, f.start("d", options{})) },
		"one is replaced": func(f *fleet, ms []*member) []*member {
			ms[1].crash(0)
			d := f.start("d", options{})
			f.know(4, ms[0], ms[2], d)
			return []*member{ms[0], ms[2], d}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
				f.pass(2 * lease) // until they know that nobody else is there
				var keys []string
				for i := range 60 {
					k := fmt.Sprint("key", i)
					keys = append(keys, k)
					ms[i%3].loads(k, "v")
				}
				f.await("R copies of each", func() bool { return replicated(keys, ms...) })
				ms = change(f, ms)
				if len(ms) > 3 {
					f.know(4, ms...)
				}
				f.within(moving, "R copies of each again", func() bool { return replicated(keys, ms...) })
				moved := uint64(0)
				for _, m := range ms {
					moved += m.Stats().CopiesMoved
				}
				if moved == 0 || moved > 120 {
					t.Errorf("%d copies moved for %d keys", moved, len(keys))
				}
			})
		})
	}
}

// A member that restarts is back before anything moves.
func TestRestartMovesNothing(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		f.pass(2 * lease)
		for i := range 30 {
			ms[0].loads(fmt.Sprint("key", i), "v")
		}
		ms[1].stop()
		back := f.start("b", options{fs: ms[1].fs})
		f.pass(4 * lease)
		for _, m := range []*member{ms[0], back, ms[2]} {
			if n := m.Stats().CopiesMoved; n != 0 {
				t.Errorf("%s moved %d", m.name(), n)
			}
		}
	})
}

// A walk outlasts a moment in which nothing can be sent.
func TestRebalanceTriesAgain(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		f.pass(2 * lease)
		var keys []string
		for i := range 30 {
			keys = append(keys, fmt.Sprint("key", i))
			ms[0].loads(keys[i], "v")
		}
		f.await("R copies of each", func() bool { return replicated(keys, ms...) })
		f.carrier.shut(true)
		ms[1].stop()
		f.await("the walk to begin", func() bool { return ms[0].Stats().Rebalances > 0 && ms[2].Stats().Rebalances > 0 })
		f.pass(lease / 2)
		f.carrier.shut(false)
		f.within(lease, "R copies of each again", func() bool { return replicated(keys, ms[0], ms[2]) })
	})
}

// The walk keeps to its rates.
func TestRebalanceIsPaced(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.carrier = newCarrier()
		slow := options{config: func(c *node.Config) { c.RebalanceBytes = 2_000 }}
		a, b, c := f.start("a", slow), f.start("b", slow), f.start("c", slow)
		f.know(3, a, b, c)
		f.pass(2 * lease)
		payload := string(make([]byte, 400))
		for i := range 300 {
			a.loads(f.near(fmt.Sprint("key", i, "-")), payload)
		}
		b.stop()
		f.await("the walk to begin", func() bool { return a.Stats().CopiesMoved > 0 })
		began, first := time.Now(), a.Stats().CopiesMoved
		f.pass(lease)
		if n := a.Stats().CopiesMoved; n != first {
			t.Errorf("%d copies moved in %v, after a page that was worth more than that", n-first, time.Since(began))
		}
	})
}
