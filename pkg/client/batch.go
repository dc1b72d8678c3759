package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/telemetry/tracing"
	"github.com/raptorflow/tercet/internal/tiers"
)

// BatchLoader asks the origin for keys, each of which is named once, in one
// call: one query instead of many. What is said of a [Loader] holds for it too.
// A key that its answer lacks is not found, which is not kept; to keep that
// knowledge, answer with NotFound, and tags of what would change it. An error
// fails all keys of the call.
type BatchLoader func(ctx context.Context, keys []string) (map[string]Loaded, error)

// BatchError reports keys of a batch that failed; the others have their answer.
type BatchError struct {
	// Errors by key, as [Client.Get] would have returned them.
	Errors map[string]error
}

func (e *BatchError) Error() string {
	keys := slices.Sorted(maps.Keys(e.Errors))
	return fmt.Sprintf("%d keys failed, among them %q: %v", len(keys), keys[0], e.Errors[keys[0]])
}

// Unwrap returns the errors, in the order of their keys.
func (e *BatchError) Unwrap() []error {
	var out []error
	for _, key := range slices.Sorted(maps.Keys(e.Errors)) {
		out = append(out, e.Errors[key])
	}
	return out
}

// GetMany returns the values of keys that have one: one look at each tier for
// all of them. With an Origin in the config, what is missing is loaded, key by
// key. Each key is judged for itself; the values are no snapshot.
//
// The error is a *[BatchError] if some keys failed. A key that is not found is
// no failure, it is missing in the map.
func (c *Client) GetMany(ctx context.Context, keys []string, opts ...ReadOption) (map[string]Value, error) {
	answers := c.readMany(ctx, keys, nil, opts)
	if c.origin != nil {
		c.loadEach(ctx, answers, reading(c.origin, opts))
	}
	return collect(answers, c.valueIn)
}

// loadEach asks the origin for what is missing, a few keys at once.
func (c *Client) loadEach(ctx context.Context, answers []node.Answer, o node.ReadOptions) {
	const atOnce = 8
	var all sync.WaitGroup
	for from := range min(atOnce, len(answers)) {
		all.Go(func() {
			for i := from; i < len(answers); i += atOnce {
				if a := &answers[i]; a.Err != nil && ctx.Err() == nil {
					a.Result, a.Err = c.node.Get(ctx, a.Key, nil, o)
				}
			}
		})
	}
	all.Wait()
}

// GetOrLoadMany is GetMany with one call of load for all that is missing. Keys
// that are being loaded already are waited for instead.
func (c *Client) GetOrLoadMany(ctx context.Context, keys []string, load BatchLoader, opts ...ReadOption) (map[string]Value, error) {
	return collect(c.readMany(ctx, keys, adaptMany(load), opts), c.valueIn)
}

func (c *Client) readMany(ctx context.Context, keys []string, load node.BatchLoader, opts []ReadOption) []node.Answer {
	o := reading(nil, opts)
	return c.node.GetMany(ctx, keys, node.BatchOptions{Level: o.Level, Fallback: o.Fallback, Policy: o.Policy, Skip: o.Skip, Load: load})
}

// collect makes a map of answers.
func collect[V any](answers []node.Answer, value func(node.Answer) (V, error)) (map[string]V, error) {
	out := make(map[string]V, len(answers))
	var failed BatchError
	for _, a := range answers {
		v, err := *new(V), a.Err
		if err == nil {
			v, err = value(a)
		}
		switch {
		case err == nil:
			out[a.Key] = v
		case errors.Is(err, ErrNotFound):
		default:
			if failed.Errors == nil {
				failed.Errors = make(map[string]error)
			}
			failed.Errors[a.Key] = err
		}
	}
	if failed.Errors != nil {
		return out, &failed
	}
	return out, nil
}

func (c *Client) valueIn(a node.Answer) (v Value, _ error) {
	v.set(c.node, a.Result)
	return v, nil
}

func adaptMany(load BatchLoader) node.BatchLoader {
	if load == nil {
		return nil
	}
	return func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
		loaded, err := load(ctx, keys)
		out := make(map[string]node.Loaded, len(loaded))
		for key, l := range loaded {
			out[key] = loadedOf(l, 0)
		}
		return out, err
	}
}

// Item is one value of a [Client.SetMany].
type Item struct {
	Value []byte
	// TTL is how long the value may live; 0: the client's default.
	TTL     time.Duration
	Tags    []string
	Version Version
}

// SetMany writes values in one record for each partition: of one partition's
// values a reader sees all or none. Of the options only [Everywhere] concerns
// the whole; [TTL], [Tags] and [RowVersion] stand for items that have none of
// their own.
func (c *Client) SetMany(ctx context.Context, items map[string]Item, opts ...WriteOption) (Token, error) {
	w := gather(opts)
	puts := make([]node.Item, 0, len(items))
	for _, key := range slices.Sorted(maps.Keys(items)) {
		it := items[key]
		o := w.put
		if it.TTL != 0 {
			o.TTL = it.TTL
		}
		if len(it.Tags) > 0 {
			o.Tags = it.Tags
		}
		if it.Version.Known {
			o.Version = it.Version
		}
		puts = append(puts, node.Item{Key: key, Payload: it.Value, Options: o})
	}
	return c.node.PutMany(ctx, puts, w.concern)
}

// InvalidateMany fences what any of them covers, in one record for each
// partition: what must die together dies at one position. What no record holds
// is refused as a whole, with [ErrRecordTooLarge] or [ErrInvalid], which name
// the limit; a tag or a prefix takes the place of any number of keys.
func (c *Client) InvalidateMany(ctx context.Context, many []Invalidation, opts ...WriteOption) (Token, error) {
	invs := make([]events.Invalidate, len(many))
	cause := events.Cause{Trace: tracing.Text(ctx)}
	for i, one := range many {
		invs[i] = events.Invalidate{Scope: one.scope(), Soft: one.Soft, Source: one.Source, Cause: cause}
	}
	return c.outbox.lasting(invs, func() (Token, error) {
		return c.node.InvalidateMany(ctx, invs, node.InvalidateOptions{Concern: gather(opts).concern})
	})
}

// GetMany is [Client.GetMany] for values of type T. A value that another codec
// wrote counts as not found.
func (t *Typed[T]) GetMany(ctx context.Context, keys []string, opts ...ReadOption) (map[string]T, error) {
	return collect(t.c.readMany(ctx, keys, nil, opts), t.valueIn)
}

// Row is what a typed batch loader answers for one key.
type Row[T any] struct {
	Value T
	Answer
}

// GetOrLoadMany is [Client.GetOrLoadMany] for values of type T.
func (t *Typed[T]) GetOrLoadMany(ctx context.Context, keys []string, load func(ctx context.Context, keys []string) (map[string]Row[T], error), opts ...ReadOption) (map[string]T, error) {
	all := func(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
		rows, err := load(ctx, keys)
		if err != nil {
			return nil, err
		}
		out := make(map[string]node.Loaded, len(rows))
		for key, row := range rows {
			if out[key], err = t.loaded(row.Value, row.Answer); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return collect(t.c.readMany(ctx, keys, all, opts), t.valueIn)
}

func (t *Typed[T]) valueIn(a node.Answer) (T, error) { return t.decode(a.Key, a.Result) }

// loaded makes what a loader returned storable.
func (t *Typed[T]) loaded(v T, a Answer) (node.Loaded, error) {
	l := Loaded{
		TTL: a.TTL, Tags: a.Tags, Version: a.Version, NotFound: a.NotFound, NoStore: a.NoStore,
		Priority: a.Priority, Validator: a.Validator, NotModified: a.NotModified,
	}
	if !a.NotFound && !a.NotModified {
		var err error
		if l.Value, err = t.codec.Marshal(v); err != nil {
			return node.Loaded{}, fmt.Errorf("encode %T: %w", v, err)
		}
	}
	return loadedOf(l, tiers.Codec(t.codec.ID())), nil
}

// SetMany writes values in one record for each partition; see [Client.SetMany].
func (t *Typed[T]) SetMany(ctx context.Context, values map[string]T, opts ...WriteOption) (Token, error) {
	w := gather(opts)
	w.put.Codec = tiers.Codec(t.codec.ID())
	puts := make([]node.Item, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		b, err := t.codec.Marshal(values[key])
		if err != nil {
			return Token{}, fmt.Errorf("encode %T for %q: %w", values[key], key, err)
		}
		puts = append(puts, node.Item{Key: key, Payload: b, Options: w.put})
	}
	return t.c.node.PutMany(ctx, puts, w.concern)
}
