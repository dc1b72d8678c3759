package turn

import (
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/raptorflow/tercet/internal/events"
)

// Claim is one node's turn to load a key.
type Claim struct {
	Epoch events.Epoch
	Key   string
	// Token tells this turn from every other one, of any node and time: a
	// holder that has lost its turn can't end or prolong the next one's. It is
	// not ordered; which copy is newer is told by births.
	Token events.ID
	// Since is the position that the holder had applied before its load. A
	// reader may share the load only if its own fences and token lie at or
	// below (P26).
	Since events.Position
}

// Request asks for a turn.
type Request struct {
	Claim
	// Need is the position from which on another's load serves whoever asks.
	Need events.Position
	// From is the fence of the key: copies born below it are dead. Sure is the
	// position from which on a copy serves for certain: no fence of a tag,
	// prefix, glob or of everything lies above it either. From <= Sure.
	From, Sure events.Position
	// For is how long the turn lasts if its holder falls silent.
	For time.Duration
	// Anew passes over what was loaded already: it was found to be of no use.
	Anew bool
}

// Answer says whose turn it is. At most one of Granted and Held is true; with
// neither there is a Copy or a Filled that should do.
type Answer struct {
	// Granted: the turn is the asker's.
	Granted bool
	// Held: another holds a turn whose load will serve the asker. It ends in
	// Left unless it is prolonged, and is announced.
	Held bool
	Left time.Duration
	// Copy is an encoded entry that the shared tier holds, nil if none. It is
	// not judged. It may come with a granted turn, if it is not certain to
	// serve.
	Copy []byte
	// Filled is a late announcement.
	Filled *Filled
}

// Taken is the answer to one of several requests, or why there is none.
type Taken struct {
	Answer
	Err error
}

// Ended is what a holder learns when its turn ends.
type Ended struct {
	// Lost: the turn was not the holder's any more.
	Lost bool
	// Waited: somebody may wait for the announcement.
	Waited bool
}

// Outcome is how a load ended.
type Outcome uint8

const (
	// Kept: the value may be shared.
	Kept Outcome = iota + 1
	// Failed: there is none, or a fence has outrun it. Somebody else's turn.
	Failed
	// Unshared: the value is for its loader's readers alone. Another's would
	// be too.
	Unshared
)

// Filled announces that a load has ended.
type Filled struct {
	Claim
	Outcome Outcome
	// Entry is the value's encoding, if it is kept and small enough to travel.
	Entry []byte
	// Nested: the value is made of copies that its loader has read, at the
	// default level or a stronger one.
	Nested bool
	// At and Digest are the announcer's place in the log: who finds the digest
	// true has applied the same history up to the entry's birth, and may keep
	// the entry without the witness's consent (H5). At 0: unknown.
	At     events.Position
	Digest events.Digest
}

// Buckets is how many subjects a domain's announcements are spread over, so
// that a node hears of few loads but those that it waits for.
const Buckets = 64

// Bucket returns the bucket of key, from 0.
func Bucket(key string) int { return int(xxhash.Sum64String(key) % Buckets) }
