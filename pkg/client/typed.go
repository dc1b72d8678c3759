package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Codec turns values into bytes and back. Its ID is stored with each value: a
// value that another codec wrote is a miss, not garbage. IDs below 64 are
// Tercet's; an application's own begin there.
type Codec interface {
	ID() uint8
	Marshal(v any) ([]byte, error)
	// Unmarshal must not keep data.
	Unmarshal(data []byte, v any) error
}

// The codecs that come with Tercet.
const (
	codecRaw     = 0 // bytes as they are: what Set and RESP write
	codecMsgpack = 1
	codecJSON    = 2
)

// Msgpack is the default codec of typed caches: compact and quick. Fields are
// matched by name, so that types may grow.
func Msgpack() Codec { return msgpackCodec{} }

// JSON is for values that other programs read.
func JSON() Codec { return jsonCodec{} }

type msgpackCodec struct{}

func (msgpackCodec) ID() uint8                          { return codecMsgpack }
func (msgpackCodec) Marshal(v any) ([]byte, error)      { return msgpack.Marshal(v) }
func (msgpackCodec) Unmarshal(data []byte, v any) error { return msgpack.Unmarshal(data, v) }

type jsonCodec struct{}

func (jsonCodec) ID() uint8                          { return codecJSON }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// Typed is a view of a client whose values are of type T. It is safe for
// concurrent use, and cheap to make.
type Typed[T any] struct {
	c     *Client
	codec Codec
}

// For returns the view of c whose values are of type T, through the msgpack
// codec.
func For[T any](c *Client) *Typed[T] { return &Typed[T]{c: c, codec: Msgpack()} }

// Using returns the view through another codec.
func (t *Typed[T]) Using(codec Codec) *Typed[T] { return &Typed[T]{c: t.c, codec: codec} }

// Answer is what a typed loader returns besides its value. The zero one: the
// client's default TTL, no tags.
type Answer struct {
	TTL     time.Duration
	Tags    []string
	Version Version
	// Priority weighs in eviction.
	Priority Priority
	// NoStore hands the value to who asked and keeps no copy.
	NoStore bool
	// NotFound says that the origin has no such value; the value is ignored.
	NotFound bool
	// Validator and NotModified: see [Loaded]. With NotModified the value is
	// ignored.
	Validator   string
	NotModified bool
}

// Get returns the value of key, or an error as [Client.Get] does. A value that
// another codec wrote counts as not found.
func (t *Typed[T]) Get(ctx context.Context, key string, opts ...ReadOption) (T, error) {
	var o node.ReadOptions
	for _, f := range opts {
		f(&o)
	}
	return t.read(ctx, key, o)
}

// GetOrLoad returns the value of key, and asks load for it if no tier has a
// live copy, once for all callers of this process who ask meanwhile.
func (t *Typed[T]) GetOrLoad(ctx context.Context, key string, load func(ctx context.Context, key string) (T, Answer, error), opts ...ReadOption) (T, error) {
	o := node.ReadOptions{Load: func(ctx context.Context, key string) (node.Loaded, error) {
		v, a, err := load(ctx, key)
		if err != nil {
			return node.Loaded{}, err
		}
		return t.loaded(v, a)
	}}
	for _, f := range opts {
		f(&o)
	}
	return t.read(ctx, key, o)
}

func (t *Typed[T]) read(ctx context.Context, key string, o node.ReadOptions) (T, error) {
	r, err := t.c.node.Get(ctx, key, nil, o)
	if err != nil {
		return *new(T), err
	}
	return t.decode(key, r)
}

func (t *Typed[T]) decode(key string, r node.Result) (T, error) {
	var v T
	if got := uint8(r.Entry.Codec()); got != t.codec.ID() {
		return v, &node.Error{Op: "get", Key: key, Err: ErrNotFound,
			Hint: fmt.Sprintf("the cached value was written by codec %d, this view reads codec %d", got, t.codec.ID())}
	}
	if err := t.codec.Unmarshal(r.Entry.Payload(), &v); err != nil {
		return v, fmt.Errorf("decode %q as %T: %w", key, v, err)
	}
	return v, nil
}

// Set writes a value; see [Client.Set].
func (t *Typed[T]) Set(ctx context.Context, key string, v T, opts ...WriteOption) (Token, error) {
	b, err := t.codec.Marshal(v)
	if err != nil {
		return Token{}, fmt.Errorf("encode %T for %q: %w", v, key, err)
	}
	o := gather(opts).put
	o.Codec = tiers.Codec(t.codec.ID())
	return t.c.node.Put(ctx, key, b, o)
}

// Delete invalidates keys.
func (t *Typed[T]) Delete(ctx context.Context, keys ...string) (Token, error) {
	return t.c.Delete(ctx, keys...)
}
