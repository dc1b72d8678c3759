package server

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// Cache is what the servers need of a *node.Node, whose documentation says
// what each method promises. All methods are safe for concurrent use.
type Cache interface {
	Get(ctx context.Context, key string, dst []byte, o node.ReadOptions) (node.Result, error)
	GetMany(ctx context.Context, keys []string, o node.BatchOptions) []node.Answer
	Put(ctx context.Context, key string, payload []byte, o node.PutOptions) (consistency.Token, error)
	PutMany(ctx context.Context, items []node.Item, concern node.Concern) (consistency.Token, error)
	Invalidate(ctx context.Context, inv events.Invalidate, o node.InvalidateOptions) (consistency.Token, error)
	Touch(ctx context.Context, key string, expiry time.Time) (bool, error)
	Scan(ctx context.Context, cursor string, limit int, fn func(key string) bool) (next string, err error)
	Len(ctx context.Context) (int, error)
	Explain(ctx context.Context, key string) (node.Explanation, error)
	Brackets() []node.OpenBracket
	EndBracket(ctx context.Context, id events.BracketID) (consistency.Token, error)
	Token() consistency.Token
	Members() []coherence.Member
	Serving() error
	SwitchOff(t node.Source) error
	SwitchOn(t node.Source) error
	TierStates() []node.TierState
}
