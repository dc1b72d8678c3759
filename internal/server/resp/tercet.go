package resp

import (
	"context"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// parseTercetSet reads the options behind key and value. TAG takes all words
// up to the next option; the one right behind it is a tag whatever it says.
func parseTercetSet(args [][]byte) (node.PutOptions, error) {
	var o node.PutOptions
	for i := 0; i < len(args); i++ {
		switch option := word(args[i]); option {
		case "ex", "px":
			i++
			if i == len(args) || o.TTL != 0 {
				return o, errSyntax
			}
			ttl, _, err := parseEnd("tercet.set", option, args[i], time.Time{})
			if err != nil {
				return o, err
			}
			o.TTL = ttl
		case "tag":
			i++
			if i == len(args) {
				return o, errSyntax
			}
			o.Tags = append(o.Tags, string(args[i]))
			for i+1 < len(args) && !tercetSetOption(word(args[i+1])) {
				i++
				o.Tags = append(o.Tags, string(args[i]))
			}
		case "priority":
			i++
			if i == len(args) {
				return o, errSyntax
			}
			o.Flags &^= tiers.FlagLowPriority | tiers.FlagHighPriority
			switch word(args[i]) {
			case "low":
				o.Flags |= tiers.FlagLowPriority
			case "normal":
			case "high":
				o.Flags |= tiers.FlagHighPriority
			default:
				return o, replyError("ERR priority must be low, normal or high")
			}
		case "everywhere":
			o.Concern = node.Everywhere
		default:
			return o, errSyntax
		}
	}
	return o, nil
}

func tercetSetOption(w string) bool {
	switch w {
	case "ex", "px", "tag", "priority", "everywhere":
		return true
	}
	return false
}

func cmdTercetSet(c *conn, ctx context.Context, args [][]byte) error {
	o, err := parseTercetSet(args[2:])
	if err != nil {
		return err
	}
	ctx, cancel := c.patience(ctx, o.Concern)
	defer cancel()
	defer c.srv.locks.shared(args[0])()
	if err := c.put(ctx, args[0], args[1], o); err != nil {
		return err
	}
	c.out.ok()
	return nil
}

// patience returns ctx with the deadline that fits a write's concern.
func (c *conn) patience(ctx context.Context, concern node.Concern) (context.Context, context.CancelFunc) {
	if concern != node.Everywhere {
		return ctx, func() {}
	}
	return context.WithTimeout(c.work, c.srv.cfg.EverywhereTimeout)
}

func texts(args [][]byte) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = string(a)
	}
	return out
}

func parseLevel(args [][]byte) (consistency.Level, error) {
	l, err := consistency.ParseLevel(texts(args)...)
	if err != nil {
		return l, replyError("ERR " + oneLine(err))
	}
	return l, nil
}

func cmdTercetGet(c *conn, ctx context.Context, args [][]byte) error {
	level := c.level
	if len(args) > 1 {
		if word(args[1]) != "level" || len(args) == 2 {
			return errSyntax
		}
		var err error
		if level, err = parseLevel(args[2:]); err != nil {
			return err
		}
	}
	e, err := c.find(ctx, args[0], level)
	if err != nil {
		return err
	}
	c.replyValue(e)
	return nil
}

// parseInvalidate reads KEY|TAG|PREFIX|GLOB|ALL [name ...] [SOFT] [EVERYWHERE].
// The last two are options only behind the names: a key "soft" is named by
// putting an option, or another name, behind it.
func parseInvalidate(args [][]byte) (events.Invalidate, node.Concern, error) {
	var inv events.Invalidate
	concern := node.Logged
	kind, names := word(args[0]), args[1:]
	least := 1
	if kind == "all" {
		least = 0
	}
options:
	for len(names) > least {
		switch word(names[len(names)-1]) {
		case "soft":
			inv.Soft = true
		case "everywhere":
			concern = node.Everywhere
		default:
			break options
		}
		names = names[:len(names)-1]
	}
	switch kind {
	case "key":
		inv.Scope.Keys = texts(names)
	case "tag":
		inv.Scope.Tags = texts(names)
	case "prefix":
		inv.Scope.Prefixes = texts(names)
	case "glob":
		inv.Scope.Globs = texts(names)
	case "all":
		if len(names) > 0 {
			return inv, concern, errSyntax
		}
		inv.Scope.All = true
	default:
		return inv, concern, replyError("ERR scope must be KEY, TAG, PREFIX, GLOB or ALL")
	}
	if err := inv.Scope.Validate(); err != nil {
		return inv, concern, err
	}
	return inv, concern, nil
}

func cmdTercetInvalidate(c *conn, ctx context.Context, args [][]byte) error {
	inv, concern, err := parseInvalidate(args)
	if err != nil {
		return err
	}
	ctx, cancel := c.patience(ctx, concern)
	defer cancel()
	if err := c.invalidate(ctx, inv, concern); err != nil {
		return err
	}
	c.out.ok()
	return nil
}

func cmdTercetLevel(c *conn, _ context.Context, args [][]byte) error {
	if len(args) == 0 {
		c.out.text(c.level.String())
		return nil
	}
	l, err := parseLevel(args)
	if err != nil {
		return err
	}
	c.level = l
	c.out.ok()
	return nil
}

// cmdTercetToken returns what this connection has seen: its own writes, and
// what this node had applied when it answered.
func cmdTercetToken(c *conn, _ context.Context, _ [][]byte) error {
	c.out.text(c.token.Join(c.srv.cache.Token()).String())
	return nil
}

func cmdTercetExplain(c *conn, ctx context.Context, args [][]byte) error {
	x, err := c.srv.cache.Explain(ctx, string(args[0]))
	if err != nil {
		return err
	}
	c.out.dict(6)
	c.out.text("key")
	c.out.text(x.Key)
	c.out.text("partition")
	c.out.int(int64(x.Partition))
	c.out.text("epoch")
	c.out.text(x.Epoch.String())
	c.out.text("applied")
	c.out.int(int64(x.Applied))
	c.out.text("fresh_for_ms")
	c.out.int(x.FreshFor.Milliseconds())
	c.out.text("tiers")
	c.out.array(len(x.Tiers))
	for _, t := range x.Tiers {
		c.explainTier(t)
	}
	return nil
}

func (c *conn) explainTier(t node.TierExplanation) {
	if !t.Found {
		c.out.dict(2)
		c.out.text("tier")
		c.out.text(t.Tier.String())
		c.out.text("verdict")
		c.out.text(t.Verdict)
		return
	}
	c.out.dict(7)
	c.out.text("tier")
	c.out.text(t.Tier.String())
	c.out.text("verdict")
	c.out.text(t.Verdict)
	c.out.text("epoch")
	c.out.text(t.Header.Epoch.String())
	c.out.text("birth")
	c.out.int(int64(t.Header.Birth))
	c.out.text("size")
	c.out.int(int64(t.Size))
	c.out.text("expiry_unix_ms")
	if t.Header.Expiry.IsZero() {
		c.out.null()
	} else {
		c.out.int(t.Header.Expiry.UnixMilli())
	}
	c.out.text("tags")
	c.out.set(len(t.Header.Tags))
	for _, tag := range t.Header.Tags {
		c.out.text(tag)
	}
}
