package resp

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// setOptions are those of SET.
type setOptions struct {
	ttl       time.Duration // 0: none was given
	past      bool          // an end was given that has passed
	keepTTL   bool
	ifAbsent  bool // NX
	ifPresent bool // XX
	get       bool
}

// looks reports whether the key must be read before it is written.
func (o setOptions) looks() bool { return o.keepTTL || o.ifAbsent || o.ifPresent || o.get }

// parseSet reads the options behind key and value; now is the time that EXAT
// and PXAT are counted from.
func parseSet(args [][]byte, now time.Time) (setOptions, error) {
	var o setOptions
	ended := false
	for i := 0; i < len(args); i++ {
		switch name := word(args[i]); name {
		case "nx":
			o.ifAbsent = true
		case "xx":
			o.ifPresent = true
		case "get":
			o.get = true
		case "keepttl":
			if ended {
				return o, errSyntax
			}
			o.keepTTL, ended = true, true
		case "ex", "px", "exat", "pxat":
			i++
			if ended || i == len(args) {
				return o, errSyntax
			}
			ended = true
			var err error
			if o.ttl, o.past, err = parseEnd("set", name, args[i], now); err != nil {
				return o, err
			}
		default:
			return o, errSyntax
		}
	}
	if o.ifAbsent && o.ifPresent {
		return o, errSyntax
	}
	return o, nil
}

// parseEnd reads the number of an option EX, PX, EXAT or PXAT.
func parseEnd(command, option string, b []byte, now time.Time) (ttl time.Duration, past bool, err error) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, false, errInteger
	}
	unit := int64(time.Second / time.Millisecond)
	if option[0] == 'p' {
		unit = 1
	}
	if n <= 0 || n > math.MaxInt64/unit {
		return 0, false, errExpire(command)
	}
	ms := n * unit
	if len(option) == 4 { // exat, pxat
		ms -= now.UnixMilli()
		if ms <= 0 {
			return 0, true, nil
		}
	}
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, false, errExpire(command)
	}
	return time.Duration(ms) * time.Millisecond, false, nil
}

func cmdSet(c *conn, ctx context.Context, args [][]byte) error {
	key, value := args[0], args[1]
	o, err := parseSet(args[2:], time.Now())
	if err != nil {
		return err
	}
	if !o.looks() {
		defer c.srv.locks.shared(key)()
		if err := c.store(ctx, key, value, o); err != nil {
			return err
		}
		c.out.ok()
		return nil
	}
	defer c.srv.locks.alone(key)()
	// What is there decides, and is the reply: the same read must tell both.
	present, err := c.find(ctx, key, c.level)
	if err != nil {
		return err
	}
	if o.ifAbsent && present != nil || o.ifPresent && present == nil {
		if o.get {
			c.replyValue(present)
		} else {
			c.out.null()
		}
		return nil
	}
	if o.keepTTL && present != nil {
		if left := remaining(present); left >= 0 {
			o.ttl = max(left, time.Millisecond)
		}
	}
	if err := c.store(ctx, key, value, o); err != nil {
		return err
	}
	if o.get {
		c.replyValue(present)
	} else {
		c.out.ok()
	}
	return nil
}

// store writes the value, or deletes the key if its end has passed.
func (c *conn) store(ctx context.Context, key, value []byte, o setOptions) error {
	if o.past {
		return c.invalidate(ctx, events.Invalidate{Scope: events.Scope{Keys: []string{string(key)}}}, node.Logged)
	}
	return c.put(ctx, key, value, node.PutOptions{TTL: o.ttl})
}
