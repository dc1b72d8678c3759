package memory

import (
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/raptorflow/tercet/internal/tiers"
)

// admission says where a copy goes that memory does not hold yet: into main,
// into the small segment young beside it, or nowhere. It is what 2Q (Johnson
// and Shasha, VLDB 1994) and S3-FIFO (Yang et al., SOSP 2023) have in common:
//
//   - A key that is new goes to young, and leaves it when as much has come after
//     it: for main if it was asked for twice meanwhile, or else for good. So it
//     displaces others that are new, and none that has proved itself.
//   - A key that comes back while the ghost remembers it goes to main.
//   - A hit in main changes nothing: it costs what freecache's own costs, and
//     what freecache notes of it decides who is evicted there.
//
// That is wrong for traffic whose keys come back soon, once or twice, and then
// no more. So two small groups of freecache's segments, which are caches of
// their own, always follow one rule each, frugal or generous (all that leaves
// young goes to main, so that the two are one queue), and the rest follow the
// group with fewer misses (set duelling, Qureshi et al., ISCA 2007).
//
// It has no clock and draws nothing at random: the same fills in the same order
// are placed the same. Safe for concurrent use.
type admission struct {
	youngBytes, mainBytes int
	stored                atomic.Int64 // bytes put into main since it was empty
	ghost                 ghost
	duel                  duel
}

const (
	// youngShare is the part of the memory that is young, in percent. More finds
	// more of what comes back soon, and holds less of what always does.
	youngShare = 15
	// leastTwo is the memory below which there is no young segment: it would
	// hold too few to compare them.
	leastTwo = 4 << 20
	// ghostWindow is how long keys are remembered, in percent of the cache. Half
	// of it finds a fifth less of what loops over more than the cache; twice as
	// much lets in what comes back too seldom.
	ghostWindow = 175
	// proof is how often a copy must be asked for while it is young. Once may be
	// a part of the burst that brought it.
	proof = 2
)

func newAdmission(bytes int) *admission {
	a := &admission{mainBytes: bytes, ghost: newGhost(bytes, ghostWindow*bytes/100)}
	if bytes >= leastTwo {
		a.mainBytes = staggered(bytes - bytes*youngShare/100)
		a.youngBytes = bytes - a.mainBytes
	}
	return a
}

// seat is where a copy goes.
type seat uint8

const (
	outside seat = iota
	inYoung
	inMain
)

// arrival is a copy that memory does not hold.
type arrival struct {
	hash  uint64
	size  int
	flags tiers.Flags
	// missed: a reader asked for it. What a record of the log brings was not
	// asked for here.
	missed bool
	// near: it lies on the disk, where it is found fast enough for a key that is
	// asked for once.
	near bool
	// by has been asked already, and said to.
	by *admission
	to seat
}

// meet notes what e is, the copy of key that has arrived.
func (x *arrival) meet(key string, e tiers.Entry) {
	x.hash, x.size, x.flags = hashOf(key), ringHeader+len(key)+len(e), e.Flags()
}

// hashOf is freecache's: its low byte names the segment.
func hashOf(key string) uint64 { return xxhash.Sum64String(key) }

// place decides, and remembers what it needs for the next time.
func (a *admission) place(x arrival) seat {
	if x.missed && a.full() {
		a.duel.missed(x.hash)
	}
	known := a.ghost.knows(x.hash)
	if !known {
		a.ghost.notes(x.hash, x.size)
	}
	switch {
	case x.flags&tiers.FlagHighPriority != 0:
		return inMain
	case x.flags&tiers.FlagLowPriority != 0 && a.full():
		return outside
	case known:
		return inMain
	case a.youngBytes == 0:
		return a.only(x)
	case x.near && !a.duel.generous(x.hash):
		return outside
	case !a.full():
		return inMain
	}
	return a.trial(x)
}

// only places a new key where there is no young segment.
func (a *admission) only(x arrival) seat {
	if x.near {
		return outside
	}
	return inMain
}

// trial places a new key in young. One too large for it has its trial outside:
// it gets in when it comes back, and a single huge value displaces nothing.
func (a *admission) trial(x arrival) seat {
	switch {
	case fits(x.size, a.youngBytes):
		return inYoung
	case a.duel.generous(x.hash):
		return inMain
	}
	return outside
}

// proved reports whether a copy goes to main that was asked for so often during
// its trial.
func (a *admission) proved(hash uint64, asked uint8) bool {
	return asked >= proof || a.duel.generous(hash)
}

// fits reports whether freecache takes an entry of size bytes, key and header
// of its own included, in a cache of bytes.
func fits(size, bytes int) bool { return size <= bytes/1024 }

// full reports whether main has to evict what it holds for what comes.
func (a *admission) full() bool { return a.stored.Load() >= int64(a.mainBytes)*15/16 }

// took counts what was put into main.
func (a *admission) took(size int) {
	if !a.full() {
		a.stored.Add(int64(size))
	}
}

// emptied is told that all copies were dropped.
func (a *admission) emptied() { a.stored.Store(0) }

// duel counts the misses of the two groups of segments that always follow one
// rule.
type duel struct {
	frugal, open atomic.Int64
	follow       atomic.Bool // the rest are generous: open misses an eighth less
}

const (
	// duelGroups: of so many segments one leads for each rule.
	duelGroups = 32
	// duelLength is how many of the leaders' misses decide; then they count half,
	// so that what was long ago fades.
	duelLength = 4096
)

func (d *duel) generous(h uint64) bool {
	switch h % duelGroups {
	case 0:
		return true
	case duelGroups / 2:
		return false
	}
	return d.follow.Load()
}

func (d *duel) missed(h uint64) {
	var open, frugal int64
	switch h % duelGroups {
	case 0:
		open, frugal = d.open.Add(1), d.frugal.Load()
	case duelGroups / 2:
		open, frugal = d.open.Load(), d.frugal.Add(1)
	default:
		return
	}
	switch n := open + frugal; {
	case n >= 2*duelLength:
		d.open.Store(open / 2)
		d.frugal.Store(frugal / 2)
	case n >= duelLength:
		d.follow.Store(8*open < 7*frugal)
	}
}
