package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/turn"
)

// takeText grants a turn to load an entry, in one step with a look at the
// entry: who asks just after a load has ended finds what it brought.
//
// KEYS[1] the turn's name, KEYS[2] the entry's
// ARGV[1] the holder: since, 16 digits, and token, 49 characters
// ARGV[2] need, ARGV[3] from, ARGV[4] sure, 16 digits each
// ARGV[5] the turn's length in milliseconds
// ARGV[6] the first two bytes of an entry, ARGV[7] epoch as in the entry; both
// empty: the entry is not looked at
//
// A turn is stored as its holder and '-', or 'w' once somebody waits for its
// end. The answer is {granted, milliseconds left, entry}: granted 1; 0 if
// another holds the turn; -1 if the entry serves for certain.
const takeText = `
local copy = false
if ARGV[6] ~= '' then
	local head = redis.pcall('GETRANGE', KEYS[2], 0, 23)
	if type(head) == 'string' and #head == 24
		and string.sub(head, 1, 2) == ARGV[6] and string.sub(head, 9, 16) == ARGV[7] then
		local a, b, c, d, e, f, g, h = string.byte(head, 17, 24)
		local birth = string.format('%02x%02x%02x%02x%02x%02x%02x%02x', h, g, f, e, d, c, b, a)
		if birth >= ARGV[3] then
			copy = redis.call('GET', KEYS[2])
			if birth >= ARGV[4] then
				return {-1, 0, copy}
			end
		end
	end
end
local mark = '-'
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and #held == 66 then
	if string.sub(held, 1, 65) == ARGV[1] then
		redis.call('PEXPIRE', KEYS[1], ARGV[5])
		return {1, 0, copy}
	end
	if string.sub(held, 1, 16) >= ARGV[2] then
		redis.call('SETRANGE', KEYS[1], 65, 'w')
		return {0, redis.call('PTTL', KEYS[1]), copy}
	end
	mark = string.sub(held, 66)
end
redis.call('SET', KEYS[1], ARGV[1] .. mark, 'PX', ARGV[5])
return {1, 0, copy}
`

// extendText prolongs a turn, or notes it again if it was forgotten.
//
// KEYS[1] the turn's name, ARGV[1] the holder, ARGV[2] milliseconds
//
// The answer is 1, or 0 if another holds the turn.
const extendText = `
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and #held == 66 then
	if string.sub(held, 1, 65) ~= ARGV[1] then
		return 0
	end
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	return 1
end
redis.call('SET', KEYS[1], ARGV[1] .. 'w', 'PX', ARGV[2])
return 1
`

// releaseText ends a turn.
//
// KEYS[1] the turn's name, ARGV[1] the holder
//
// The answer is 0 if nobody waits, 1 if somebody does, 2 if the turn was not
// the holder's any more.
const releaseText = `
local held = redis.pcall('GET', KEYS[1])
if type(held) ~= 'string' or string.sub(held, 1, 65) ~= ARGV[1] then
	return 2
end
redis.call('UNLINK', KEYS[1])
return string.sub(held, 66) == 'w' and 1 or 0
`

var (
	takeSHA    = goredis.NewScript(takeText).Hash()
	extendSHA  = goredis.NewScript(extendText).Hash()
	releaseSHA = goredis.NewScript(releaseText).Hash()
)

// errNoTurnName reports a key beside whose entry no turn can lie: its name has
// a closing brace and no hash tag, so that no other name is sure to share its
// slot in a Cluster.
var errNoTurnName = errors.New("no turn can share the slot of this key")

// TakeTurn asks for the turn to load r's key. It is safe to repeat. The error
// is a [tiers.ErrUnavailable]; the turn may have been granted nevertheless.
func (t *Tier) TakeTurn(ctx context.Context, r turn.Request) (turn.Answer, error) {
	names, args, err := t.taking(r)
	if err != nil {
		return turn.Answer{}, t.unavailable("take turn", err)
	}
	cmd, err := t.turnScript(ctx, r.Epoch, takeSHA, takeText, names, args...)
	if err != nil {
		return turn.Answer{}, t.unavailable("take turn", err)
	}
	return t.taken(ctx, r, cmd)
}

// taking returns the names and the arguments of takeText.
func (t *Tier) taking(r turn.Request) (names []string, args []any, err error) {
	entry := t.name(r.Epoch, r.Key)
	at, ok := t.turnName(entry)
	if !ok {
		return nil, nil, errNoTurnName
	}
	magic, epoch := "", ""
	if !r.Anew {
		magic, epoch = tiers.Mark(r.Epoch)
	}
	return []string{at, entry},
		[]any{holder(r.Claim), digits(r.Need), digits(r.From), digits(r.Sure), r.For.Milliseconds(), magic, epoch}, nil
}

// taken reads takeText's reply.
func (t *Tier) taken(ctx context.Context, r turn.Request, cmd *goredis.Cmd) (turn.Answer, error) {
	reply, err := cmd.Slice()
	if err != nil || len(reply) != 3 {
		return turn.Answer{}, t.unavailable("take turn", fmt.Errorf("malformed reply: %w", err))
	}
	granted, _ := reply[0].(int64)
	left, _ := reply[1].(int64)
	a := turn.Answer{Granted: granted == 1, Held: granted == 0, Left: time.Duration(left) * time.Millisecond}
	if text, ok := reply[2].(string); ok {
		// What is damaged or foreign is removed by the next Get.
		if e, err := tiers.Parse([]byte(text)); err == nil && e.Key() == r.Key && e.Epoch() == r.Epoch {
			a.Copy = e
		}
	}
	if granted < 0 && a.Copy == nil {
		r.Anew = true
		return t.TakeTurn(ctx, r)
	}
	return a, nil
}

// ExtendTurn prolongs a turn, and notes it again if the server has forgotten
// it. It returns false if another's is on. The error is a
// [tiers.ErrUnavailable].
func (t *Tier) ExtendTurn(ctx context.Context, c turn.Claim, d time.Duration) (bool, error) {
	at, ok := t.turnName(t.name(c.Epoch, c.Key))
	if !ok {
		return false, t.unavailable("extend turn", errNoTurnName)
	}
	cmd, err := t.turnScript(ctx, c.Epoch, extendSHA, extendText, []string{at}, holder(c), d.Milliseconds())
	if err != nil {
		return false, t.unavailable("extend turn", err)
	}
	n, err := cmd.Int64()
	if err != nil {
		return false, t.unavailable("extend turn", err)
	}
	return n == 1, nil
}

// ReleaseTurn ends a turn if it is still c's. The error is a
// [tiers.ErrUnavailable].
func (t *Tier) ReleaseTurn(ctx context.Context, c turn.Claim) (turn.Ended, error) {
	at, ok := t.turnName(t.name(c.Epoch, c.Key))
	if !ok {
		return turn.Ended{}, t.unavailable("release turn", errNoTurnName)
	}
	cmd, err := t.turnScript(ctx, c.Epoch, releaseSHA, releaseText, []string{at}, holder(c))
	if err != nil {
		return turn.Ended{}, t.unavailable("release turn", err)
	}
	n, err := cmd.Int64()
	if err != nil {
		return turn.Ended{}, t.unavailable("release turn", err)
	}
	return turn.Ended{Lost: n == 2, Waited: n != 0}, nil
}

// turnScript runs a script by its hash, and by its text where the server does
// not know it.
func (t *Tier) turnScript(ctx context.Context, epoch events.Epoch, sha, text string, keys []string, args ...any) (*goredis.Cmd, error) {
	run := func(verb, script string) (*goredis.Cmd, error) {
		cmd := scriptCmd(ctx, verb, script, keys, args)
		return cmd, t.do(ctx, epoch, cmd)
	}
	cmd, err := run("evalsha", sha)
	if err != nil && goredis.HasErrorPrefix(err, "NOSCRIPT") {
		cmd, err = run("eval", text)
	}
	return cmd, err
}

func scriptCmd(ctx context.Context, verb, script string, keys []string, args []any) *goredis.Cmd {
	all := append(make([]any, 0, 3+len(keys)+len(args)), verb, script, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	return goredis.NewCmd(ctx, append(all, args...)...)
}

// turnName returns the name of the turn to load what lies under entry, in the
// same slot of a Cluster, and whether there is one.
func (t *Tier) turnName(entry string) (string, bool) {
	const turns = "turn:"
	open := strings.IndexByte(entry, '{')
	if open >= 0 {
		if end := strings.IndexByte(entry[open:], '}'); end > 1 {
			return t.prefix + turns + entry[len(t.prefix):], true // its hash tag goes along
		}
	}
	if strings.IndexByte(entry, '}') >= 0 {
		return "", false
	}
	return t.prefix + turns + "{" + entry + "}", true
}

func holder(c turn.Claim) string { return digits(c.Since) + c.Token.String() }

func digits(p events.Position) string { return fmt.Sprintf("%016x", uint64(p)) }
