package servertest

import (
	"context"
	"fmt"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// GetMany implements server.Cache.
func (c *Cache) GetMany(ctx context.Context, keys []string, o node.BatchOptions) []node.Answer {
	out := make([]node.Answer, len(keys))
	for i, key := range keys {
		out[i].Key = key
		out[i].Result, out[i].Err = c.Get(ctx, key, nil, node.ReadOptions{Level: o.Level, Fallback: o.Fallback})
	}
	return out
}

// PutMany implements server.Cache. Unlike a node it puts the values before one
// that fails.
func (c *Cache) PutMany(ctx context.Context, items []node.Item, concern node.Concern) (consistency.Token, error) {
	seen := make(map[string]bool)
	for _, it := range items {
		if seen[it.Key] {
			return consistency.Token{}, fmt.Errorf("%w: puts %q twice", events.ErrInvalid, it.Key)
		}
		seen[it.Key] = true
	}
	var t consistency.Token
	for _, it := range items {
		it.Options.Concern = concern
		var err error
		if t, err = c.Put(ctx, it.Key, it.Payload, it.Options); err != nil {
			return t, err
		}
	}
	return t, nil
}

// Open opens a bracket.
func (c *Cache) Open(b node.OpenBracket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brackets = append(c.brackets, b)
}

// Brackets implements server.Cache.
func (c *Cache) Brackets() []node.OpenBracket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]node.OpenBracket(nil), c.brackets...)
}

// EndBracket implements server.Cache.
func (c *Cache) EndBracket(_ context.Context, id events.BracketID) (consistency.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range c.brackets {
		if b.ID == id {
			c.brackets = append(c.brackets[:i], c.brackets[i+1:]...)
			c.move(c.partitions(events.Scope{All: true})...)
			return c.token(), nil
		}
	}
	return consistency.Token{}, &node.Error{Op: "end bracket", Err: node.ErrNotFound}
}
