package resp

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// find returns the live entry of key at level, or nil. It is valid until the
// connection's next read.
func (c *conn) find(ctx context.Context, key []byte, level consistency.Level) (tiers.Entry, error) {
	r, err := c.srv.cache.Get(ctx, string(key), c.value[:0], node.ReadOptions{Level: level})
	switch {
	case errors.Is(err, node.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if cap(r.Entry) > cap(c.value) {
		c.value = r.Entry[:0]
	}
	if r.Entry.Flags()&tiers.FlagNegative != 0 {
		// Known not to exist at the origin.
		return nil, nil
	}
	return r.Entry, nil
}

func (c *conn) replyValue(e tiers.Entry) {
	if e == nil {
		c.out.null()
		return
	}
	c.out.bulk(e.Payload())
}

func cmdGet(c *conn, ctx context.Context, args [][]byte) error {
	e, err := c.find(ctx, args[0], c.level)
	if err != nil {
		return err
	}
	c.replyValue(e)
	return nil
}

func cmdStrLen(c *conn, ctx context.Context, args [][]byte) error {
	e, err := c.find(ctx, args[0], c.level)
	if err != nil {
		return err
	}
	n := 0
	if e != nil {
		n = len(e.Payload())
	}
	c.out.int(int64(n))
	return nil
}

func cmdType(c *conn, ctx context.Context, args [][]byte) error {
	e, err := c.find(ctx, args[0], c.level)
	if err != nil {
		return err
	}
	if e == nil {
		c.out.status("none")
	} else {
		c.out.status("string")
	}
	return nil
}

// together is how many keys of one command are read at once, and so how many
// values a connection holds.
const together = 64

// readAll reads keys and calls each in their order with what was found, nil
// for nothing. An error of any key ends it; nothing may have been sent by then
// for the first batch, so that a node that does not serve answers with an
// error rather than with nulls.
func (c *conn) readAll(ctx context.Context, keys [][]byte, each func(tiers.Entry)) error {
	for len(keys) > 0 {
		batch := keys[:min(together, len(keys))]
		keys = keys[len(batch):]
		names := make([]string, len(batch))
		for i, key := range batch {
			names[i] = string(key)
		}
		answers := c.srv.cache.GetMany(ctx, names, node.BatchOptions{Level: c.level})
		for _, a := range answers {
			if a.Err != nil && !errors.Is(a.Err, node.ErrNotFound) {
				return a.Err
			}
		}
		for _, a := range answers {
			if a.Err != nil || a.Entry.Flags()&tiers.FlagNegative != 0 {
				a.Entry = nil
			}
			each(a.Entry)
		}
	}
	return nil
}

func cmdMGet(c *conn, ctx context.Context, args [][]byte) error {
	sent := 0
	err := c.readAll(ctx, args, func(e tiers.Entry) {
		if sent == 0 {
			c.out.array(len(args))
		}
		sent++
		c.replyValue(e)
		if len(c.out.b) >= flushAt {
			c.flush()
		}
	})
	if err == nil || sent == 0 {
		return err
	}
	// The list's length is out already: what is missing is errors, each in
	// its key's place.
	line := errorLine(err)
	for ; sent < len(args); sent++ {
		c.out.fail(line)
	}
	return nil
}

func cmdExists(c *conn, ctx context.Context, args [][]byte) error {
	n, err := c.count(ctx, args)
	if err != nil {
		return err
	}
	c.out.int(n)
	return nil
}

func (c *conn) count(ctx context.Context, keys [][]byte) (n int64, err error) {
	err = c.readAll(ctx, keys, func(e tiers.Entry) {
		if e != nil {
			n++
		}
	})
	return n, err
}

func cmdDel(c *conn, ctx context.Context, args [][]byte) error {
	defer c.srv.locks.shared(args...)()
	n, err := c.count(ctx, unique(args))
	if err != nil {
		return err
	}
	scope := events.Scope{Keys: make([]string, len(args))}
	for i, a := range args {
		scope.Keys[i] = string(a)
	}
	if err := c.invalidate(ctx, events.Invalidate{Scope: scope}, node.Logged); err != nil {
		return err
	}
	c.out.int(n)
	return nil
}

// unique returns keys without those that stand twice: DEL counts a key once,
// EXISTS as often as it is named.
func unique(keys [][]byte) [][]byte {
	seen := make(map[string]struct{}, len(keys))
	out := make([][]byte, 0, len(keys))
	for _, k := range keys {
		if _, twice := seen[string(k)]; !twice {
			seen[string(k)] = struct{}{}
			out = append(out, k)
		}
	}
	return out
}

func (c *conn) invalidate(ctx context.Context, inv events.Invalidate, concern node.Concern) error {
	t, err := c.srv.cache.Invalidate(ctx, inv, node.InvalidateOptions{Concern: concern})
	c.token = c.token.Join(t)
	return err
}

func (c *conn) put(ctx context.Context, key, value []byte, o node.PutOptions) error {
	if err := c.fits(value); err != nil {
		return err
	}
	t, err := c.srv.cache.Put(ctx, string(key), value, o)
	c.token = c.token.Join(t)
	return err
}

func (c *conn) fits(value []byte) error {
	if len(value) > c.srv.cfg.MaxValue {
		return replyError("ERR value of " + strconv.Itoa(len(value)) + " bytes is too large, at most " + strconv.Itoa(c.srv.cfg.MaxValue))
	}
	return nil
}

func cmdMSet(c *conn, ctx context.Context, args [][]byte) error {
	if len(args)%2 != 0 {
		return replyError("ERR wrong number of arguments for 'mset' command")
	}
	keys := make([][]byte, 0, len(args)/2)
	for i := 0; i < len(args); i += 2 {
		keys = append(keys, args[i])
		if err := events.ValidateKey(string(args[i])); err != nil {
			return err
		}
	}
	defer c.srv.locks.shared(keys...)()
	// A key that stands twice gets the last of its values.
	last := make(map[string]int, len(keys))
	var items []node.Item
	for i := 0; i < len(args); i += 2 {
		if err := c.fits(args[i+1]); err != nil {
			return err
		}
		it := node.Item{Key: string(args[i]), Payload: args[i+1]}
		if at, again := last[it.Key]; again {
			items[at] = it
			continue
		}
		last[it.Key] = len(items)
		items = append(items, it)
	}
	t, err := c.srv.cache.PutMany(ctx, items, node.Logged)
	c.token = c.token.Join(t)
	if err != nil {
		return err
	}
	c.out.ok()
	return nil
}

func cmdFlush(c *conn, ctx context.Context, args [][]byte) error {
	if len(args) > 1 || len(args) == 1 && word(args[0]) != "async" && word(args[0]) != "sync" {
		return errSyntax
	}
	if err := c.invalidate(ctx, events.Invalidate{Scope: events.Scope{All: true}}, node.Logged); err != nil {
		return err
	}
	c.out.ok()
	return nil
}

func cmdDBSize(c *conn, ctx context.Context, _ [][]byte) error {
	n, err := c.srv.cache.Len(ctx)
	if err != nil {
		return err
	}
	c.out.int(int64(n))
	return nil
}

// remaining returns how long e lives; negative: for ever.
func remaining(e tiers.Entry) time.Duration {
	expiry := e.ExpiryMilli()
	if expiry == 0 {
		return -1
	}
	return max(time.Until(time.UnixMilli(expiry)), 0)
}
