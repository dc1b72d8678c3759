package resp

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// Redis's answers for what has no number.
const (
	ttlForever = -1
	ttlNone    = -2
)

func cmdTTL(c *conn, ctx context.Context, args [][]byte) error {
	return c.replyTTL(ctx, args[0], time.Second)
}

func cmdPTTL(c *conn, ctx context.Context, args [][]byte) error {
	return c.replyTTL(ctx, args[0], time.Millisecond)
}

func (c *conn) replyTTL(ctx context.Context, key []byte, unit time.Duration) error {
	e, err := c.find(ctx, key, c.level)
	switch {
	case err != nil:
		return err
	case e == nil:
		c.out.int(ttlNone)
	case remaining(e) < 0:
		c.out.int(ttlForever)
	default:
		// Rounded to the nearest, as Redis does.
		c.out.int(int64((remaining(e) + unit/2) / unit))
	}
	return nil
}

func cmdExpire(c *conn, ctx context.Context, args [][]byte) error {
	return c.expire(ctx, args, "expire", time.Second)
}

func cmdPExpire(c *conn, ctx context.Context, args [][]byte) error {
	return c.expire(ctx, args, "pexpire", time.Millisecond)
}

// condition is what must hold of a key's present end for EXPIRE to act.
type condition uint8

const (
	onlyNone condition = 1 << iota // NX: it has none
	onlySome                       // XX: it has one
	onlyLater
	onlySooner
)

func parseConditions(args [][]byte) (condition, error) {
	var all condition
	for _, a := range args {
		switch word(a) {
		case "nx":
			all |= onlyNone
		case "xx":
			all |= onlySome
		case "gt":
			all |= onlyLater
		case "lt":
			all |= onlySooner
		default:
			return 0, replyError("ERR Unsupported option " + string(a[:min(len(a), 64)]))
		}
	}
	if all&onlyNone != 0 && all != onlyNone {
		return 0, replyError("ERR NX and XX, GT or LT options at the same time are not compatible")
	}
	if all&onlyLater != 0 && all&onlySooner != 0 {
		return 0, replyError("ERR GT and LT options at the same time are not compatible")
	}
	return all, nil
}

// allow reports whether a key with that end (negative: none, which counts as
// infinitely late) may get the new one.
func (x condition) allow(present, next time.Duration) bool {
	forever := present < 0
	switch {
	case x&onlyNone != 0 && !forever,
		x&onlySome != 0 && forever,
		x&onlyLater != 0 && (forever || next <= present),
		x&onlySooner != 0 && !forever && next >= present:
		return false
	}
	return true
}

func (c *conn) expire(ctx context.Context, args [][]byte, name string, unit time.Duration) error {
	n, err := strconv.ParseInt(string(args[1]), 10, 64)
	if err != nil {
		return errInteger
	}
	when, err := parseConditions(args[2:])
	if err != nil {
		return err
	}
	if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
		return errExpire(name)
	}
	next := time.Duration(n) * unit
	key := args[0]
	defer c.srv.locks.alone(key)()
	e, err := c.find(ctx, key, c.level)
	switch {
	case err != nil:
		return err
	case e == nil || !when.allow(remaining(e), next):
		c.out.int(0)
		return nil
	case next <= 0:
		// As in Redis, an end in the past deletes; here, everywhere.
		err = c.invalidate(ctx, events.Invalidate{Scope: events.Scope{Keys: []string{string(key)}}}, node.Logged)
		if err == nil {
			c.out.int(1)
		}
		return err
	}
	done, err := c.srv.cache.Touch(ctx, string(key), time.Now().Add(next))
	if err != nil {
		return err
	}
	if done {
		c.out.int(1)
	} else {
		c.out.int(0)
	}
	return nil
}
