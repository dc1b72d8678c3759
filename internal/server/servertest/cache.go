// Package servertest holds an in-memory stand-in for a node, for tests of the
// servers in front of one.
package servertest

import (
	"context"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/server"
	"github.com/raptorflow/tercet/internal/tiers"
)

var _ server.Cache = (*Cache)(nil)

// Cache is a node of one process without a log: positions are counted in one
// partition, or as many as [Cache.Split] says, TTLs end, and a session read of a position that never came fails like a node that
// did not catch up. It is safe for concurrent use.
type Cache struct {
	// DefaultTTL is the life of values that were put without one; 0: for ever.
	DefaultTTL time.Duration
	// BeforePut, if set, is called without a lock held before a value is put.
	BeforePut func(ctx context.Context, key string)
	// BeforeGet, if set, is called without a lock held before a read.
	BeforeGet func(ctx context.Context, key string)

	mu       sync.Mutex
	entries  map[string]tiers.Entry
	position events.Position
	at       []events.Position // of each partition, position at most
	fail     error
	levels   []consistency.Level
	puts     []node.PutOptions
	fences   []events.Invalidate
	concerns []node.Concern
	brackets []node.OpenBracket
	off      [node.FromOrigin + 1]bool
}

// Epoch is the epoch of a Cache.
const Epoch = events.Epoch(0x7e)

// New returns an empty Cache.
func New() *Cache {
	return &Cache{entries: make(map[string]tiers.Entry), at: make([]events.Position, 1)}
}

// Split makes an empty Cache one of n partitions.
func (c *Cache) Split(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = make([]events.Position, n)
}

// move gives the partitions a position to which none has come.
func (c *Cache) move(partitions ...int) {
	c.position++
	for _, i := range partitions {
		c.at[i] = c.position
	}
}

func (c *Cache) partition(key string) int { return node.Partition(key, len(c.at)) }

// partitions are those that a scope concerns.
func (c *Cache) partitions(s events.Scope) (all []int) {
	if s.All || len(s.Tags)+len(s.Prefixes)+len(s.Globs) > 0 {
		for i := range c.at {
			all = append(all, i)
		}
		return all
	}
	for _, key := range s.Keys {
		all = append(all, c.partition(key))
	}
	return all
}

// Fail makes every operation return err; nil ends that.
func (c *Cache) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// Levels returns the levels of all reads so far.
func (c *Cache) Levels() []consistency.Level {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]consistency.Level(nil), c.levels...)
}

// LastPut returns the options of the last Put.
func (c *Cache) LastPut() node.PutOptions {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.puts) == 0 {
		return node.PutOptions{}
	}
	return c.puts[len(c.puts)-1]
}

// LastFence returns the last invalidation and how far it had to reach.
func (c *Cache) LastFence() (events.Invalidate, node.Concern) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fences) == 0 {
		return events.Invalidate{}, node.Logged
	}
	return c.fences[len(c.fences)-1], c.concerns[len(c.concerns)-1]
}

func (c *Cache) alive(key string) (tiers.Entry, bool) {
	e, ok := c.entries[key]
	if ok && e.Expired(time.Now().UnixMilli()) {
		delete(c.entries, key)
		return nil, false
	}
	return e, ok
}

// Get implements server.Cache.
func (c *Cache) Get(ctx context.Context, key string, dst []byte, o node.ReadOptions) (node.Result, error) {
	if c.BeforeGet != nil {
		c.BeforeGet(ctx, key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.levels = append(c.levels, o.Level)
	if c.fail != nil {
		return node.Result{}, &node.Error{Op: "get", Key: key, Err: c.fail}
	}
	if err := events.ValidateKey(key); err != nil {
		return node.Result{}, err
	}
	if i := c.partition(key); o.Level.Kind() == consistency.KindSession && o.Level.Token().At(i).Position > c.at[i] {
		return node.Result{}, &node.Error{Op: "get", Key: key, Err: node.ErrNotServing, Hint: "not caught up"}
	}
	e, ok := c.alive(key)
	if !ok {
		return node.Result{}, node.ErrNotFound
	}
	return node.Result{Entry: append(tiers.Entry(dst[:0]), e...), Source: node.FromMemory}, nil
}

// Put implements server.Cache.
func (c *Cache) Put(ctx context.Context, key string, payload []byte, o node.PutOptions) (consistency.Token, error) {
	if c.BeforePut != nil {
		c.BeforePut(ctx, key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return consistency.Token{}, &node.Error{Op: "put", Key: key, Err: c.fail}
	}
	h := tiers.Header{Key: key, Epoch: Epoch, Birth: c.position + 1, Created: time.Now(), Tags: o.Tags, Flags: o.Flags, Codec: o.Codec, Version: o.Version}
	ttl := o.TTL
	if ttl == 0 {
		ttl = c.DefaultTTL
	}
	if ttl != 0 {
		h.Expiry = time.Now().Add(ttl)
	}
	e, err := tiers.Append(nil, &h, payload)
	if err != nil {
		return consistency.Token{}, err
	}
	c.move(c.partition(key))
	c.entries[key] = e
	c.puts = append(c.puts, o)
	return c.token(), nil
}

// Invalidate implements server.Cache.
func (c *Cache) Invalidate(_ context.Context, inv events.Invalidate, o node.InvalidateOptions) (consistency.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return consistency.Token{}, &node.Error{Op: "invalidate", Err: c.fail}
	}
	if err := inv.Scope.Validate(); err != nil {
		return consistency.Token{}, err
	}
	c.move(c.partitions(inv.Scope)...)
	c.fences = append(c.fences, inv)
	c.concerns = append(c.concerns, o.Concern)
	for key, e := range c.entries {
		dead := inv.Scope.Covers(key)
		for t := range e.Tags() {
			for _, want := range inv.Scope.Tags {
				dead = dead || t == want
			}
		}
		if dead {
			delete(c.entries, key)
		}
	}
	return c.token(), nil
}

// Touch implements server.Cache.
func (c *Cache) Touch(_ context.Context, key string, expiry time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return false, &node.Error{Op: "touch", Key: key, Err: c.fail}
	}
	e, ok := c.alive(key)
	if !ok {
		return false, nil
	}
	h := e.Header()
	h.Expiry = expiry
	e, err := tiers.Append(nil, &h, e.Payload())
	c.entries[key] = e
	return err == nil, err
}

// Scan implements server.Cache: in order of keys, the cursor is the last one.
func (c *Cache) Scan(_ context.Context, cursor string, limit int, fn func(key string) bool) (string, error) {
	c.mu.Lock()
	var keys []string
	for key := range c.entries {
		if _, ok := c.alive(key); ok && key > cursor {
			keys = append(keys, key)
		}
	}
	fail := c.fail
	c.mu.Unlock()
	if fail != nil {
		return "", &node.Error{Op: "scan", Err: fail}
	}
	sort.Strings(keys)
	for i, key := range keys {
		if i == limit {
			return keys[i-1], nil
		}
		if !fn(strings.Clone(key)) {
			return key, nil
		}
	}
	return "", nil
}

// Len implements server.Cache.
func (c *Cache) Len(context.Context) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for key := range c.entries {
		if _, ok := c.alive(key); ok {
			n++
		}
	}
	return n, nil
}

// Explain implements server.Cache.
func (c *Cache) Explain(_ context.Context, key string) (node.Explanation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := node.Explanation{Key: key, Epoch: Epoch, Applied: c.at[c.partition(key)], FreshFor: time.Second}
	t := node.TierExplanation{Tier: node.FromMemory, Verdict: "no copy"}
	if e, ok := c.alive(key); ok {
		t = node.TierExplanation{Tier: node.FromMemory, Found: true, Header: e.Header(), Size: len(e), Verdict: "alive"}
		x.Served = []node.Served{{At: time.UnixMilli(1000), Epoch: Epoch, Birth: e.Birth(), Applied: x.Applied}}
	}
	x.Tiers = append(x.Tiers, t)
	return x, nil
}

func (c *Cache) token() consistency.Token {
	var t consistency.Token
	for i, at := range c.at {
		t = t.With(i, consistency.Point{Epoch: Epoch, Position: at})
	}
	return t
}

// Token implements server.Cache.
func (c *Cache) Token() consistency.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token()
}

// Ahead returns a token of the key's partition that its log has not come to.
func (c *Cache) Ahead(key string) consistency.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token().With(c.partition(key), consistency.Point{Epoch: Epoch, Position: c.position + 1000})
}

// Members implements server.Cache.
func (c *Cache) Members() []coherence.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []coherence.Member{{Node: "fake", Incarnation: events.Incarnation{1}, Pulse: c.position, Applied: c.position, Addresses: []string{"resp://127.0.0.1:1"}, Weight: 1}}
}

// Serving implements server.Cache.
func (c *Cache) Serving() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fail
}
