package workload

import (
	"fmt"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/history"
)

// Lane is how a key is written and read. It is the first segment of its keys.
type Lane string

// The lanes.
const (
	Register   Lane = "register"
	Everywhere Lane = "everywhere"
	Bracketed  Lane = "bracketed"
	Loaded     Lane = "loaded"
	Herd       Lane = "herd"
)

// Op is an operation with who was asked for it and how.
type Op struct {
	history.Op
	Lane   Lane   `json:"lane"`
	Member string `json:"member"`
	// Via is resp, http, embedded or origin.
	Via string `json:"via"`
	// Trouble is what kind of failure it was, in one word; empty: none.
	Trouble string `json:"trouble,omitempty"`
	// Epoch is that of the key's partition, as the answer's token told; 0: it
	// did not.
	Epoch events.Epoch `json:"epoch,omitempty"`
}

// LaneOf returns the lane of a key.
func LaneOf(key string) Lane {
	lane, _, _ := strings.Cut(key, ":")
	return Lane(lane)
}

// key names the n-th key of a lane in a generation.
func key(l Lane, generation, n int) string { return fmt.Sprintf("%s:%d:%d", l, generation, n) }

// prefixOf is the prefix of a key's whole generation.
func prefixOf(key string) string { return key[:strings.LastIndexByte(key, ':')+1] }

// tagOf is the tag that every value of a key carries, shared with a third of its
// generation.
func tagOf(key string) string {
	n := 0
	_, _ = fmt.Sscan(key[strings.LastIndexByte(key, ':')+1:], &n)
	return fmt.Sprintf("shelf:%s%d", prefixOf(key), n%3)
}

// covers reports whether an invalidation kills the copies of a key.
func covers(s *events.Scope, key string) bool {
	for _, t := range s.Tags {
		if t == tagOf(key) {
			return true
		}
	}
	return s.Covers(key)
}

// Load is one call of the loader.
type Load struct {
	Key        string
	Member     string
	Value      int64
	Begun, End time.Duration
}

// Fence is what makes older copies of a key dead, by the observer's account.
type Fence struct {
	// Place orders the values and fences of a key: the log's position, with the
	// number of its epoch in front; in lane loaded, the number of the commit.
	Place events.Position
	// Landed is when the observer, or the writer, knew that it was in the log.
	Landed time.Duration
}

// Epoch is a change of history, as the observer applied it.
type Epoch struct {
	Partition int
	ID        events.Epoch
	Number    int
	At        time.Duration
	Why       string
}

// Record is all that was written down.
type Record struct {
	Ops    []Op
	Fences map[string][]Fence
	// Places are those of values, by key.
	Places history.Order
	Loads  []Load
	Epochs []Epoch
	// Accepted are the domain events that a node or a client accepted, and when.
	Accepted map[string]time.Duration
	// Fenced are those whose fence the observer saw.
	Fenced map[string]time.Duration
	// Kept are the values that the log still had at the end, by key; nil: nobody
	// could read it, and KeptErr says why.
	Kept    map[string]map[int64]bool
	KeptErr string
}
