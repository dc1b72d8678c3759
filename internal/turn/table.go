package turn

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Table grants turns, and remembers announcements as long as a turn lasts, for
// those who ask a moment too late. Times are a waiter's clock, in nanoseconds:
// one that never jumps ahead. It is not safe for concurrent use. The zero
// Table is ready.
type Table struct {
	held map[place]*holding
	done map[place]*finished
	// ending holds what will have to be dropped, about in the order in which
	// it ends; bytes is what the announcements weigh.
	ending []ending
	bytes  int
}

type place struct {
	epoch events.Epoch
	key   string
}

type holding struct {
	claim  Claim
	until  int64
	waited bool // somebody waits for its end
}

type finished struct {
	filled *Filled
	until  int64
}

type ending struct {
	place
	at int64
}

const (
	// mostTurns bounds the turns and announcements that a table holds.
	mostTurns = 1 << 16
	// mostBytes bounds the entries in announcements that it remembers.
	mostBytes = 16 << 20
)

// Take answers r.
func (t *Table) Take(now int64, r Request) Answer {
	t.sweep(now)
	at := place{r.Epoch, r.Key}
	if d := t.done[at]; d != nil && d.until > now && !r.Anew && d.filled.Since >= r.Need && !mutant.On(mutant.TurnForgetsLoads) {
		return Answer{Filled: d.filled}
	}
	waited := false
	if h := t.held[at]; h != nil && h.until > now {
		if h.claim.Token == r.Token {
			// The answer to the first request was lost.
			h.until = now + int64(r.For)
			return Answer{Granted: true}
		}
		if h.claim.Since >= r.Need {
			h.waited = true
			return Answer{Held: true, Left: time.Duration(h.until - now)}
		}
		waited = h.waited
	}
	// Where there is no room nobody will know of the turn: the load goes on.
	t.hold(now, r.Claim, r.For, waited)
	return Answer{Granted: true}
}

// hold notes a turn, unless the table is full.
func (t *Table) hold(now int64, c Claim, d time.Duration, waited bool) bool {
	if len(t.ending) >= mostTurns {
		return false
	}
	if t.held == nil {
		t.held = make(map[place]*holding)
		t.done = make(map[place]*finished)
	}
	at := place{c.Epoch, c.Key}
	t.held[at] = &holding{claim: c, until: now + int64(d), waited: waited}
	t.ending = append(t.ending, ending{at, now + int64(d)})
	return true
}

// Extend prolongs c's turn, or notes it again if it was forgotten. It returns
// false if another's is on.
func (t *Table) Extend(now int64, c Claim, d time.Duration) bool {
	t.sweep(now)
	h := t.held[place{c.Epoch, c.Key}]
	switch {
	case h == nil || h.until <= now:
		return t.hold(now, c, d, true)
	case h.claim.Token != c.Token:
		return false
	}
	h.until = now + int64(d)
	return true
}

// Release ends the turn and, if filled is not nil, remembers for d what was
// loaded.
func (t *Table) Release(now int64, c Claim, filled *Filled, d time.Duration) Ended {
	t.sweep(now)
	at := place{c.Epoch, c.Key}
	h := t.held[at]
	own := h != nil && (h.claim.Token == c.Token || mutant.On(mutant.TurnReleasedByAny))
	if own {
		delete(t.held, at)
	}
	if filled != nil && t.held[at] == nil {
		t.remember(now, at, filled, d)
	}
	return Ended{Lost: !own, Waited: !own || h.waited}
}

func (t *Table) remember(now int64, at place, f *Filled, d time.Duration) {
	if t.bytes+len(f.Entry) > mostBytes || len(t.ending) >= mostTurns {
		return
	}
	if t.done == nil {
		t.held = make(map[place]*holding)
		t.done = make(map[place]*finished)
	}
	t.drop(at)
	t.done[at] = &finished{filled: f, until: now + int64(d)}
	t.bytes += len(f.Entry)
	t.ending = append(t.ending, ending{at, now + int64(d)})
}

func (t *Table) drop(at place) {
	if d := t.done[at]; d != nil {
		t.bytes -= len(d.filled.Entry)
		delete(t.done, at)
	}
}

// sweep drops what has ended.
func (t *Table) sweep(now int64) {
	n := 0
	for ; n < len(t.ending) && t.ending[n].at <= now; n++ {
		at := t.ending[n].place
		if h := t.held[at]; h != nil {
			if h.until > now {
				t.ending = append(t.ending, ending{at, h.until}) // it was prolonged
			} else {
				delete(t.held, at)
			}
		}
		if d := t.done[at]; d != nil && d.until <= now {
			t.drop(at)
		}
	}
	if t.ending = t.ending[n:]; len(t.ending) == 0 {
		t.ending = nil
	}
}
