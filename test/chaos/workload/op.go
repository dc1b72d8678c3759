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

// lanes in the order in which dice are drawn for them.
var lanes = []Lane{Register, Everywhere, Bracketed, Loaded, Herd}

// Op is an operation with who was asked for it and how.
type Op struct {
	history.Op
	Member string
	// Via is resp, http, embedded or origin.
	Via string
	// Trouble is what kind of failure it was, in one word; empty: none.
	Trouble string
	// Strange says what is wrong with the value by itself; empty: nothing.
	Strange string
	// All: it invalidated everything, not its key alone.
	All bool
	// Epoch is that of the key's partition when it was answered, as the answer's
	// token told; 0: it did not.
	Epoch events.Epoch
	// Unplaced: Seen belongs to an epoch in which nobody was seen to live, so that
	// nothing follows from it.
	Unplaced bool
	// since is the epoch of Seen.
	since events.Epoch
}

// Lane is that of its key.
func (o Op) Lane() Lane { return LaneOf(o.Key) }

// LaneOf returns the lane of a key.
func LaneOf(key string) Lane {
	lane, _, _ := strings.Cut(key, ":")
	return Lane(lane)
}

// keyOf names the n-th key of a lane in a generation.
func keyOf(l Lane, generation, n int) string { return fmt.Sprintf("%s:%d:%d", l, generation, n) }

// prefixOf is the prefix of a key's whole generation.
func prefixOf(key string) string { return key[:strings.LastIndexByte(key, ':')+1] }

// tagOf is the tag that every value of a key carries, shared with a third of its
// generation.
func tagOf(key string) string {
	last := key[len(key)-1]
	return fmt.Sprintf("shelf:%s%d", prefixOf(key), last%3)
}

// covers reports whether an invalidation kills the copies of a key.
func covers(s *events.Scope, key string) bool {
	if len(s.Tags) > 0 {
		own := tagOf(key)
		for _, t := range s.Tags {
			if t == own {
				return true
			}
		}
	}
	return s.Covers(key)
}

// Load is one call of the loader.
type Load struct {
	Key, Member string
	Value       int64
	Begun, End  time.Duration
}

// Fence is what makes older values of a key dead.
type Fence struct {
	// Place orders the values and fences of a key: the log's position, with the
	// number of its epoch in front; where rows are committed before they are
	// fenced, the number of the commit.
	Place events.Position
	// Called is when its writer began, as far as it is known; Landed when
	// somebody knew that it is in the log.
	Called, Landed time.Duration
}

// Epoch is a change of history, as the observer applied it.
type Epoch struct {
	Partition int
	ID        events.Epoch
	Number    int
	At        time.Duration
	Why       string
}

// Record is all that was written down. Times count from the run's beginning.
type Record struct {
	Ops    []Op
	Fences map[string][]Fence
	// Places are those of values, by key.
	Places history.Order
	Loads  []Load
	Epochs []Epoch
	// Accepted are the domain events that somebody took, and when; Fenced those
	// whose fence the observer saw.
	Accepted, Fenced map[string]time.Duration
	// Kept are the values of keys that the log still had at the end; nil: it
	// could not be read, and KeptErr says why.
	Kept    map[string]map[int64]bool
	KeptErr string
	// Partitions and Lease are the domain's.
	Partitions int
	Lease      time.Duration
}
