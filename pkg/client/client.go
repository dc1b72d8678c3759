package client

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/telemetry/tracing"
	"github.com/raptorflow/tercet/internal/tiers"
)

// The errors that callers act on; test with errors.Is.
var (
	// ErrNotFound: nobody has the value.
	ErrNotFound = node.ErrNotFound
	// ErrNotServing: the node is cut off from the log and may not answer from
	// its copies.
	ErrNotServing = node.ErrNotServing
	// ErrTooLarge: the value is beyond the limit.
	ErrTooLarge = node.ErrTooLarge
	// ErrRefused: Config.Validate does not want the value; its error is wrapped
	// too.
	ErrRefused = node.ErrRefused
	// ErrOverloaded: a bounded queue is full.
	ErrOverloaded = node.ErrOverloaded
	// ErrNotLanded: the write is certainly not in the log.
	ErrNotLanded = events.ErrNotLanded
	// ErrUnsettled: a bracket stays open, for its commit may still happen.
	ErrUnsettled = node.ErrUnsettled
	// ErrRecordTooLarge: one record can't hold what the call names.
	ErrRecordTooLarge = events.ErrTooLarge
	// ErrIndeterminate: the write may be in the log, or come to be.
	ErrIndeterminate = events.ErrIndeterminate
	// ErrInvalid: a name, setting or scope breaks a rule.
	ErrInvalid = events.ErrInvalid
	// ErrNoDomain: the domain was never created.
	ErrNoDomain = events.ErrNoDomain
)

// Value is a read's answer.
type Value struct {
	Bytes []byte
	Tags  []string
	// Expires is when the copy ends; [Value.TTL] is how far off that is.
	Expires time.Time
	// Validator is what the origin named the value by, if its loader said so.
	Validator string
	// Source is where it was found: memory, disk, redis, owner or origin.
	Source string
	// Stale marks a value that a node gave although it was cut off (domains
	// with policy serve only), and one that has expired or lies behind a soft
	// fence ([Fallback]).
	Stale bool

	node *node.Node
}

// ReadOption changes one read.
type ReadOption func(*node.ReadOptions)

// At reads at level l instead of the default, which is Bounded by the lease.
func At(l Level) ReadOption { return func(o *node.ReadOptions) { o.Level = l } }

// LoadAlone loads without asking whether another process loads the key too.
func LoadAlone() ReadOption { return func(o *node.ReadOptions) { o.LoadAlone = true } }

// Fallback lets a copy that has expired, for [Policy].MaxStale at most, or lies
// behind a soft fence, answer where no live one does: Value.Stale says so. Never
// within a loader, and from behind a fence never at level strong.
func Fallback(f When) ReadOption { return func(o *node.ReadOptions) { o.Fallback = f } }

// When says when a fallback will do.
type When = node.Fallback

// The occasions for a [Fallback].
const (
	// IfOriginFails: when the loader fails, or the reader's patience ends
	// before it answers; at once if there is no loader.
	IfOriginFails = node.IfOriginFails
	// WhileReloading: besides, while the loader runs, which the read starts and
	// does not wait for.
	WhileReloading = node.WhileReloading
	// Never: whatever the key's policy says.
	Never = node.NeverFallBack
)

// RequiredSource returns the origin's position (LSN, GTID, offset) that the
// loader which was called with ctx must not read behind, as
// [Invalidation].Source has told it. Known and "": any will do. Not known: read
// the primary, for this node is cut off from the log or behind it, and can't tell
// which changes there were. A loader that reads a replica waits until the
// replica has come that far, reads the primary instead, or fails. One that reads
// the primary need not ask.
func RequiredSource(ctx context.Context) (position string, known bool) {
	return node.RequiredSource(ctx)
}

// Get returns the value of key. Without an Origin in the config it never
// loads. Errors: [ErrNotFound], [ErrNotServing], ctx's, the origin's.
func (c *Client) Get(ctx context.Context, key string, opts ...ReadOption) (v Value, err error) {
	r, err := c.node.Get(ctx, key, nil, reading(c.origin, opts))
	if err == nil {
		v.set(c.node, r)
	}
	return v, err
}

// reading returns the options of a read. Options that are changed move to the
// heap; a read without any must not pay for that.
func reading(load node.Loader, opts []ReadOption) node.ReadOptions {
	if len(opts) == 0 {
		return node.ReadOptions{Load: load}
	}
	o := node.ReadOptions{Load: load}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// GetInto returns the bytes of key's value in buf, which should have room for
// the entry: the value, the key, its tags and 64 bytes. A hit in memory then
// allocates nothing. Options cost allocations: there are none.
func (c *Client) GetInto(ctx context.Context, key string, buf []byte) ([]byte, error) {
	r, err := c.node.Get(ctx, key, buf, node.ReadOptions{Load: c.origin})
	if err != nil {
		return nil, err
	}
	return r.Entry.Payload(), nil
}

// GetOrLoad returns the value of key, and asks load for it if no tier has a
// live copy: once for all callers, in any process of the domain, who ask
// meanwhile.
func (c *Client) GetOrLoad(ctx context.Context, key string, load Loader, opts ...ReadOption) (v Value, err error) {
	r, err := c.node.Get(ctx, key, nil, reading(adapt(load), opts))
	if err == nil {
		v.set(c.node, r)
	}
	return v, err
}

// set fills in a zero value, where it is to lie: a Value is large, and a hit in
// memory notices each time that it is copied.
func (v *Value) set(n *node.Node, r node.Result) {
	e := r.Entry
	v.Bytes, v.Source, v.Stale, v.node = e.Payload(), r.Source.String(), r.Stale, n
	v.Validator = e.Validator()
	if ms := e.ExpiryMilli(); ms != 0 {
		v.Expires = time.UnixMilli(ms)
	}
	if e.HasTags() {
		v.Tags = tagsOf(e)
	}
}

func tagsOf(e tiers.Entry) (tags []string) {
	for t := range e.Tags() {
		tags = append(tags, t)
	}
	return tags
}

func adapt(load Loader) node.Loader {
	if load == nil {
		return nil
	}
	return func(ctx context.Context, key string) (node.Loaded, error) {
		l, err := load(ctx, key)
		return loadedOf(l, 0), err
	}
}

func loadedOf(l Loaded, codec tiers.Codec) node.Loaded {
	out := node.Loaded{
		Payload: l.Value, TTL: l.TTL, Tags: l.Tags, Version: l.Version, Codec: codec, NoStore: l.NoStore,
		Flags: l.Priority.flags(), Validator: l.Validator, NotModified: l.NotModified,
	}
	if l.NotFound {
		out.Flags |= tiers.FlagNegative
		out.Payload = nil
	}
	return out
}

// WriteOption changes one write.
type WriteOption func(*write)

type write struct {
	put     node.PutOptions
	concern node.Concern
}

// TTL sets how long the value may live.
func TTL(d time.Duration) WriteOption { return func(w *write) { w.put.TTL = d } }

// Tags name what would make the value wrong.
func Tags(tags ...string) WriteOption {
	return func(w *write) { w.put.Tags = append(w.put.Tags, tags...) }
}

// RowVersion gives the value the origin's version of its row: of two Sets that
// carry one, the higher wins.
func RowVersion(n uint64) WriteOption {
	return func(w *write) { w.put.Version = Version{N: n, Known: true} }
}

// Everywhere makes the write return only once no read that starts later, on
// any node, can see an older value. It takes a lease's length at most if a
// member has died.
func Everywhere() WriteOption { return func(w *write) { w.concern = node.Everywhere } }

func gather(opts []WriteOption) write {
	var w write
	for _, f := range opts {
		f(&w)
	}
	w.put.Concern = w.concern
	return w
}

// Set writes a value. It returns once the write is in the log and applied on
// this node.
//
// A Set after a database commit can lose a race that Invalidate plus a load
// can't: two writers may commit in one order and Set in the other. Use
// [RowVersion], or invalidate.
func (c *Client) Set(ctx context.Context, key string, value []byte, opts ...WriteOption) (Token, error) {
	return c.node.Put(ctx, key, value, gather(opts).put)
}

// Delete invalidates keys.
func (c *Client) Delete(ctx context.Context, keys ...string) (Token, error) {
	return c.Invalidate(ctx, Invalidation{Keys: keys})
}

// Invalidation says which copies die: the union of its parts.
type Invalidation struct {
	Keys []string
	// Tags: every value that carries one of them.
	Tags []string
	// Prefixes: every key under one of them; a prefix ends with ':'.
	Prefixes []string
	// Globs: every key that matches one of them; '*' and '?' match, '\'
	// escapes.
	Globs []string
	// All: everything in the domain.
	All bool
	// Soft leaves the dead as a marked fallback.
	Soft bool
	// Source is the origin's position of the change (LSN, GTID), if known.
	Source string
}

func (i Invalidation) scope() events.Scope {
	return events.Scope{Keys: i.Keys, Tags: i.Tags, Prefixes: i.Prefixes, Globs: i.Globs, All: i.All}
}

// Invalidate fences what i covers, in one record whatever the number of
// copies. It returns once the record is in the log and applied on this node.
//
// With [Config.Outbox] it is on this process's disk before; if it can't be put
// into the log now, the error wraps [ErrQueued], and it follows.
func (c *Client) Invalidate(ctx context.Context, i Invalidation, opts ...WriteOption) (Token, error) {
	inv := events.Invalidate{
		Scope:  i.scope(),
		Soft:   i.Soft,
		Source: i.Source,
		Cause:  events.Cause{Trace: tracing.Text(ctx)},
	}
	return c.outbox.lasting([]events.Invalidate{inv}, func() (Token, error) {
		return c.node.Invalidate(ctx, inv, node.InvalidateOptions{Concern: gather(opts).concern})
	})
}

// Token returns what this client has seen, to be passed to another process
// that should see no less.
func (c *Client) Token() Token { return c.node.Token() }

// Node returns the node that runs in this process, for the servers that
// Tercet puts on top of it.
func (c *Client) Node() *node.Node { return c.node }
