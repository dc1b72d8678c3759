package exhaustive

import "github.com/raptorflow/tercet/internal/events"

// A state is a value without pointers: it is its own identity in the search.
// Numbers are small on purpose; positions fit a byte, instants are ticks.
type state struct {
	log [maxLog]record
	end uint8 // records in the log
	now int8

	// row is the origin's: 0 before the writer's commit, 1 behind it. marked:
	// the resolver has made the commit impossible.
	row    uint8
	marked bool

	writer   writer
	resolver uint8 // 0: has not come, 1: has marked, 2: has ended the bracket
	nodes    [2]node
	// stored is all that was ever written to the shared tier. A reader may find
	// any of it at any time, or nothing: late, lost, repeated, rolled back.
	stored [2]value
	strong strong

	waiter    waiter // at the second node, for the first one's load
	announced announcement
}

const (
	maxLog = 12
	// maxPulses bounds a scope's pulses.
	maxPulses = 2
	// lease is in ticks. The scopes have clocks of one rate: drift is the
	// business of events.Settings.LeaseWait and its own test.
	lease = 2
	never = -100
)

// record is one record of the log.
type record struct {
	kind kind
	// node, life and number are a pulse's; applied is the place that it reports.
	node, life, number, applied uint8
}

type kind uint8

const (
	none kind = iota
	opening
	pulse
	fenceKey
	fenceTag
	put
	intentKey
	intentTag
	end
)

// value is a copy of the one key; none if born is 0.
type value struct{ row, born uint8 }

type node struct {
	life uint8
	// world is what the tiers and the World have taken in, applied what readers
	// and writers were told of it. restored is where the World was read back from
	// the disk; 0: it never was.
	world, applied, restored uint8

	memory value
	guard  uint8 // the key's guard slot
	disk   shelf
	synced shelf // what a crash can't take

	fresh          int8
	begun, counted uint8
	flying         bool // a pulse set out and has not landed
	reports        uint8
	t0             [4]int8 // of the incarnation's pulses, by number
	behind         uint8   // the record that the pulse on its way must follow; 0: any
	chain          chain
	due            uint8 // an own pulse in the world that is not counted yet

	heard [2]int8 // when pulses of the other node's lives were applied

	load   load
	joiner joiner
	// carried was found in the shared tier and served, and is on its way into
	// memory.
	carried value
}

// shelf is what a node's disk holds: the place it has come to, the key's fence
// there, and a copy.
type shelf struct {
	place, fence uint8
	copy         value
}

type load struct {
	phase, birth, row uint8 // phase 0: none, 1: begun, 2: the origin has answered, 3: over
}

// joiner is a reader who joined the node's load. mustSee: the old row is wrong
// for it, and why.
type joiner struct {
	joined  bool
	mustSee demand
}

type strong struct {
	phase   uint8 // 0: not invoked, 1: waits
	asked   uint8
	mustSee bool
}

type writer struct {
	phase phase
	// at is where the fence or the intent stands, landed the instant at which
	// it got there.
	at     uint8
	landed int8
	heard  [2]int8 // what the writer's node knew when it began to wait
	acked  [2]bool // by the other node's lives
}

// phase is how far the writer has come.
type phase uint8

const (
	idle phase = iota
	committed
	published
	asking
	everywhere // the write has returned, or the bracket's function may run
	inBracket  // it has committed
	ended      // of a writer that ends its bracket too early
	done
)

// demand is the guarantee that makes the old row wrong for a read; empty: none.
type demand uint8

const (
	nothing demand = iota
	g1
	g4b
	g5
)

var demands = [...]string{"", "G1", "G4b", "G5"}

func (w *writer) hasLanded() bool { return w.at != 0 }

// incarnation names a life of a node in the records.
func incarnation(node, life uint8) events.Incarnation { return events.Incarnation{node + 1, life + 1} }

// append puts a record behind the log and returns its place; false: the scope
// has no room for it.
func (s *state) append(r record) (uint8, bool) {
	if s.end == maxLog {
		return 0, false
	}
	s.log[s.end] = r
	s.end++
	return s.end, true
}
