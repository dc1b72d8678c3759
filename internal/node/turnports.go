package node

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/turn"
)

// Turns grants turns for the whole domain: Redis does. All methods are safe
// for concurrent use. Their errors mean that nobody can be asked there now;
// what was asked for may have been done nevertheless.
type Turns interface {
	// Take asks for the turn to load a key, and looks at the shared copy of it
	// in the same step. Asking again with the same token is safe.
	Take(ctx context.Context, r turn.Request) (turn.Answer, error)
	// TakeMany is Take for several keys in one trip. The answers stand where
	// their requests do.
	TakeMany(ctx context.Context, rs []turn.Request) []turn.Taken
	// Extend prolongs a turn by d from now, and notes it again if it was
	// forgotten. It returns false if another's is on.
	Extend(ctx context.Context, c turn.Claim, d time.Duration) (bool, error)
	// Release ends a turn if it is still c's.
	Release(ctx context.Context, c turn.Claim) (turn.Ended, error)
}

// Line carries what nodes say to each other about loads. Messages may be lost,
// repeated and late: what is lost costs time or a load. All methods are safe
// for concurrent use.
type Line interface {
	// Announce sends f to every node that hears f's bucket.
	Announce(f turn.Filled) error
	// Hear makes the announcements of a bucket reach this node, and returns
	// once they do; fresh, if they did not before.
	Hear(ctx context.Context, bucket int) (fresh bool, err error)
	// Request asks another node, as an owner, and returns its answer; an
	// error if it is not there or does not answer before ctx is done.
	Request(ctx context.Context, to events.Incarnation, q TurnRequest) (TurnReply, error)
	// Serve calls filled with announcements and asked with the requests to
	// self, until ctx is done. The functions don't block, and may keep what
	// they are given.
	Serve(ctx context.Context, self events.Incarnation, filled func(turn.Filled), asked func(TurnRequest) TurnReply) error
}

// TurnOp is what an owner is asked to do.
type TurnOp uint8

// The operations, as in [Turns].
const (
	TakeTurn TurnOp = iota + 1
	ExtendTurn
	ReleaseTurn
)

// TurnRequest is a node's request to the first owner of a key's slot.
type TurnRequest struct {
	Op TurnOp
	// Request is whole for TakeTurn; the others need its Claim and For.
	turn.Request
	// Filled, at ReleaseTurn, is what the owner tells those who ask within For
	// from now; nil: nothing.
	Filled *turn.Filled
}

// TurnReply is an owner's answer; the operation says which field counts.
type TurnReply struct {
	Answer   turn.Answer
	Extended bool
	Ended    turn.Ended
}
