package history

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Kind is what an operation does.
type Kind uint8

const (
	// Read asks for a key.
	Read Kind = iota
	// Write gives a key a value.
	Write
	// Invalidate kills the key's copies. Its Value is no value's, and names it.
	Invalidate
	// Query asks the database itself.
	Query
)

// Outcome is what the caller learned.
type Outcome uint8

const (
	// Unknown: there was no answer, or one that leaves open what happened. It is
	// the zero Outcome: what nobody answered stays open.
	Unknown Outcome = iota
	// Done: it happened; a read has found Value.
	Done
	// Miss: a read found nothing.
	Miss
	// Nothing: it certainly did not happen.
	Nothing
)

// Op is one operation of a history.
type Op struct {
	// Client is who called; one at a time.
	Client int
	Kind   Kind
	Key    string
	// Value is what was written or read. No two writes of a history have the
	// same; 0 is what was there before the first.
	Value int64
	// Level is the read's, as consistency.ParseLevel reads it; "session" stands
	// for one with a token.
	Level string
	// Bound is the staleness that a bounded read allows.
	Bound time.Duration
	// Seen is where the session stood when it asked: its token's position in
	// the key's partition.
	Seen    events.Position
	Outcome Outcome
	// Call and Return are nanoseconds on one clock. Return means nothing while
	// the outcome is unknown.
	Call, Return int64
}

func (o Op) String() string {
	what := fmt.Sprintf("client %d %s %s", o.Client, [...]string{"reads", "writes", "invalidates", "queries"}[o.Kind], o.Key)
	if o.Level != "" {
		what += " at " + o.Level
	}
	took := "open"
	if o.Outcome != Unknown {
		took = fmt.Sprint(time.Duration(o.Return - o.Call).Round(time.Microsecond))
	}
	return fmt.Sprintf("%12v %s: %d %s (%s)", time.Duration(o.Call).Round(time.Microsecond), what, o.Value,
		[...]string{"unknown", "done", "miss", "nothing"}[o.Outcome], took)
}

// end is when the operation was over for whoever judges it.
func (o Op) end() int64 {
	if o.Outcome == Unknown {
		return math.MaxInt64
	}
	return o.Return
}

// Recorder gathers operations. It is safe for concurrent use.
type Recorder struct {
	begun time.Time
	mu    sync.Mutex
	ops   []Op
}

// NewRecorder returns a recorder whose clock starts now.
func NewRecorder() *Recorder { return &Recorder{begun: time.Now()} }

// Now returns the recorder's time.
func (r *Recorder) Now() int64 { return int64(time.Since(r.begun)) }

// Add notes an operation that has ended, or never will.
func (r *Recorder) Add(o Op) {
	r.mu.Lock()
	r.ops = append(r.ops, o)
	r.mu.Unlock()
}

// Ops returns what was recorded.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Op(nil), r.ops...)
}
