package disk

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/mutant"
)

// A memtable takes in rows several times faster where many come at once, in its
// order: each is then near to the one before it. So the writer lets the commits of
// a node that catches up gather, up to a quarter of a memtable; lookups see them
// meanwhile, as they see all that is pending.
//
// Nobody waits for it: whoever submits a job ends the gathering, and so does a
// commit of few rows, the first of a node that has caught up. And nothing is
// lost that was not before: a commit is unsynced until [Store.Sync], which is such
// a job, and what a process leaves behind is still a prefix of what was committed.
const (
	// gatherLeast is how many rows a commit has that others will follow soon: only
	// those who are far behind have so many at once. Who joins with less has it on
	// disk at once, and finds it there if he is killed a moment later.
	gatherLeast = joinRows
	gatherRows  = 16 << 10
	// gatherFor is how long the first commit of those that gather waits.
	gatherFor = 50 * time.Millisecond
	// gatherMost is how many commits may be pending where some of them grow so
	// large: it bounds what a stall of the disk gathers in memory.
	gatherMost = 8
)

// gathering is what the writer must know to let commits gather.
type gathering struct {
	bytes   int           // of values, in one commit
	waiting atomic.Int32  // those who wait for the writer
	wake    chan struct{} // capacity 1: the writer should look again
	timer   *time.Timer   // the writer's
}

func newGathering(cfg Config) *gathering {
	var o pebble.Options
	cfg.size(&o)
	g := &gathering{bytes: int(o.MemTableSize / 4), wake: make(chan struct{}, 1), timer: time.NewTimer(0)}
	g.timer.Stop()
	return g
}

// hurry ends the gathering for as long as somebody waits for the writer, which
// patience says that he does no more.
func (g *gathering) hurry() {
	g.waiting.Add(1)
	g.look()
}

func (g *gathering) patience() { g.waiting.Add(-1) }

func (g *gathering) look() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// gather returns when it is time to write c, the oldest that is pending.
func (s *Store) gather(c *commit) {
	g := s.gathering
	left := gatherFor - time.Since(c.since)
	if left <= 0 {
		return
	}
	g.timer.Reset(left)
	defer g.timer.Stop()
	for s.pending.grows(c) && (g.waiting.Load() == 0 || mutant.On(mutant.GatheringUnhurried)) {
		select {
		case <-g.wake:
		case <-g.timer.C:
			return
		case <-s.death.dead:
			return
		}
	}
}

// grows reports whether more is likely to join c.
func (p *pending) grows(c *commit) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(c.rows) >= gatherLeast && !c.ripe && !mutant.On(mutant.CommitsNotJoined) && p.last(c.partition) == c
}
