package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/turn"
)

// TakeTurns is [Tier.TakeTurn] for several keys, in one trip to each of a
// cluster's servers. The answers stand where their requests do; each error is a
// [tiers.ErrUnavailable].
func (t *Tier) TakeTurns(ctx context.Context, rs []turn.Request) []turn.Taken {
	out := make([]turn.Taken, len(rs))
	for from := 0; from < len(rs); from += maxBatch {
		to := min(from+maxBatch, len(rs))
		left := t.takeMany(ctx, "evalsha", takeSHA, rs[from:to], out[from:to], nil)
		if len(left) > 0 { // the server does not know the script yet
			t.takeMany(ctx, "eval", takeText, rs[from:to], out[from:to], left)
		}
	}
	return out
}

// takeMany takes the turns that are named by their index, or all if which is
// nil, and returns those for which the server lacks the script.
func (t *Tier) takeMany(ctx context.Context, verb, script string, rs []turn.Request, out []turn.Taken, which []int) (unknown []int) {
	if which == nil {
		for i := range rs {
			which = append(which, i)
		}
	}
	var cmds []goredis.Cmder
	var asked []int
	for _, i := range which {
		names, args, err := t.taking(rs[i])
		if err != nil {
			out[i].Err = t.unavailable("take turn", err)
			continue
		}
		cmds, asked = append(cmds, scriptCmd(ctx, verb, script, names, args)), append(asked, i)
	}
	if len(cmds) == 0 {
		return nil
	}
	whole := t.direct(ctx, cmds)
	for k, i := range asked {
		cmd := cmds[k].(*goredis.Cmd)
		err := cmd.Err()
		if whole == errBulkhead {
			err = whole // nothing set out
		}
		switch {
		case err == nil:
			out[i].Answer, out[i].Err = t.taken(ctx, rs[i], cmd)
		case goredis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown = append(unknown, i)
		default:
			out[i].Err = t.unavailable("take turn", err)
		}
	}
	return unknown
}
