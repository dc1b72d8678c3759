package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Config says where a domain's entries lie and how long one may wait for them.
type Config struct {
	// Client is how Redis is reached; see [NewClient]. The tier does not close
	// it.
	Client goredis.UniversalClient
	// Domain names the domain; names begin with tercet:<domain>:.
	Domain string
	// Epoch returns the present epoch of the partition that key lies in; zero
	// if it isn't known yet, and the tier is unavailable then.
	Epoch func(key string) events.Epoch
	// Timeout bounds one operation, waiting included; default 100 ms. Longer:
	// requests wait longer for a server that is gone. Shorter: a busy server
	// counts as gone.
	Timeout time.Duration
	// MaxInFlight is how many callers may be inside at once; the next is
	// turned away with [tiers.ErrUnavailable]. Default 1024.
	MaxInFlight int
	// Lanes is how many commands or gathered pipelines are under way at once;
	// default 2. More suit a far server, fewer gather better.
	Lanes int
	// MaxPayload is the largest payload taken, in bytes; default
	// [tiers.MaxPayload].
	MaxPayload int
	// Breaker says when to stop asking.
	Breaker BreakerConfig
	// Now is the wall clock; default [time.Now].
	Now func() time.Time
}

const (
	defaultTimeout     = 100 * time.Millisecond
	defaultMaxInFlight = 1024
	defaultLanes       = 2
	// inLine is the largest entry that travels with others: a larger one
	// would make them wait.
	inLine = 32 << 10
	// longest bounds a time to live, so that Redis's own arithmetic holds.
	longest = 100 * 365 * 24 * time.Hour
)

// Tier is the second tier. Its methods are safe for concurrent use.
type Tier struct {
	client  goredis.UniversalClient
	prefix  string // tercet:<domain>:
	epoch   func(string) events.Epoch
	timeout time.Duration
	most    int64
	payload int
	now     func() time.Time
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	lanes   lanes
	// reload has a Cluster's client look who its masters are; nil otherwise.
	reload func(context.Context)

	inside atomic.Int64
	count  counters
	advice advice
}

var _ tiers.Tier = (*Tier)(nil)

// New returns a tier; it does not connect yet, and starts nothing.
func New(cfg Config) (*Tier, error) {
	if err := events.ValidateDomain(cfg.Domain); err != nil {
		return nil, err
	}
	if cfg.Client == nil || cfg.Epoch == nil {
		return nil, fmt.Errorf("%w redis tier: needs a client and an epoch", events.ErrInvalid)
	}
	preset(&cfg.Timeout, defaultTimeout)
	preset(&cfg.MaxInFlight, defaultMaxInFlight)
	preset(&cfg.Lanes, defaultLanes)
	preset(&cfg.MaxPayload, tiers.MaxPayload)
	if cfg.Timeout < 0 || cfg.MaxInFlight < 0 || cfg.Lanes < 0 || cfg.MaxPayload < 0 {
		return nil, fmt.Errorf("%w redis tier: a negative limit", events.ErrInvalid)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Tier{
		client:  cfg.Client,
		prefix:  "tercet:" + cfg.Domain + ":",
		epoch:   cfg.Epoch,
		timeout: cfg.Timeout,
		most:    int64(cfg.MaxInFlight),
		payload: cfg.MaxPayload,
		now:     cfg.Now,
		breaker: newBreaker(cfg.Breaker),
	}
	if c, ok := cfg.Client.(*goredis.ClusterClient); ok {
		t.reload = c.ReloadState // in the background, and one at a time
	}
	t.lanes = lanes{send: t.send, limit: cfg.Timeout, free: cfg.Lanes}
	return t, nil
}

// Get implements [tiers.Tier].
func (t *Tier) Get(ctx context.Context, key string, dst []byte) (tiers.Entry, error) {
	epoch := t.epoch(key)
	name := t.name(epoch, key)
	cmd := goredis.NewStringCmd(ctx, "get", name)
	return t.found(ctx, epoch, name, key, cmd, t.do(ctx, epoch, cmd), dst)
}

// found checks what a get of name was answered.
func (t *Tier) found(ctx context.Context, epoch events.Epoch, name, key string, cmd *goredis.StringCmd, err error, dst []byte) (tiers.Entry, error) {
	switch {
	case err == nil:
	case errors.Is(err, goredis.Nil):
		t.count.misses.Add(1)
		return nil, tiers.ErrMiss
	case goredis.HasErrorPrefix(err, "WRONGTYPE"):
		t.count.foreign.Add(1)
		return nil, t.reject(ctx, epoch, name)
	default:
		return nil, t.unavailable("get", err)
	}
	b, _ := cmd.Bytes()
	e, err := tiers.Parse(b)
	if err != nil {
		t.count.corrupt.Add(1)
		return nil, t.reject(ctx, epoch, name)
	}
	if (e.Key() != key || e.Epoch() != epoch) && !mutant.On(mutant.EnvelopeUnchecked) {
		t.count.foreign.Add(1)
		return nil, t.reject(ctx, epoch, name)
	}
	if e.Ended(t.now().UnixMilli()) {
		t.count.misses.Add(1)
		return nil, tiers.ErrMiss
	}
	t.count.hits.Add(1)
	if cap(dst) >= len(e) {
		return append(dst[:0], e...), nil
	}
	return e, nil // memory of this reply alone
}

// reject removes what lies under name, which is none of ours, and returns
// [tiers.ErrMiss]. A good entry that came in between goes with it, as any copy
// may at any time.
func (t *Tier) reject(ctx context.Context, epoch events.Epoch, name string) error {
	_ = t.do(ctx, epoch, goredis.NewIntCmd(ctx, "unlink", name)) // the reader judges again next time
	return tiers.ErrMiss
}

// Put implements [tiers.Tier]. An entry of another epoch than the present is
// outdated.
func (t *Tier) Put(ctx context.Context, e tiers.Entry) error {
	key := e.Key()
	epoch := t.epoch(key)
	if epoch != 0 && e.Epoch() != epoch {
		t.count.outdated.Add(1)
		return tiers.ErrOutdated
	}
	ttl, stored := "0", tiers.Entry(nil)
	tooLarge := len(e.Payload()) > t.payload
	if end := e.EndMilli(); end != 0 {
		left := end - t.now().UnixMilli()
		ttl = strconv.FormatInt(min(left, longest.Milliseconds()), 10)
		if left <= 0 {
			ttl = ""
		}
	}
	if tooLarge {
		ttl = ""
	}
	if ttl != "" {
		stored = e
		if len(e) <= inLine {
			// It may travel in a pipeline that outlives this call.
			stored = append(tiers.Entry(nil), e...)
		}
	}
	var birth [8]byte
	binary.BigEndian.PutUint64(birth[:], uint64(e.Birth()))
	n, err := t.script(ctx, epoch, putSHA, putText, t.name(epoch, key),
		string(e[:2]), string(e[8:16]), fmt.Sprintf("%016x", uint64(e.Birth())), []byte(stored), ttl).Int64()
	switch {
	case err != nil:
		return t.unavailable("put", err)
	case n == 0:
		t.count.outdated.Add(1)
		return tiers.ErrOutdated
	case tooLarge:
		t.count.tooLarge.Add(1)
		return tiers.ErrTooLarge
	}
	t.count.stored.Add(1)
	return nil
}

// script runs a script by its hash, and by its text where the server does not
// know it (any more).
func (t *Tier) script(ctx context.Context, epoch events.Epoch, sha, text, name string, args ...any) *goredis.Cmd {
	cmd := goredis.NewCmd(ctx, append([]any{"evalsha", sha, 1, name}, args...)...)
	err := t.do(ctx, epoch, cmd)
	if err != nil && goredis.HasErrorPrefix(err, "NOSCRIPT") {
		cmd = goredis.NewCmd(ctx, append([]any{"eval", text, 1, name}, args...)...)
		err = t.do(ctx, epoch, cmd)
	}
	if err != nil {
		// A command that its caller left may still be under way.
		cmd = goredis.NewCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// Remove implements [tiers.Tier].
func (t *Tier) Remove(ctx context.Context, keys ...string) error {
	for len(keys) > 0 {
		n := min(len(keys), maxBatch)
		cmds := make([]goredis.Cmder, n)
		for i, k := range keys[:n] {
			cmds[i] = goredis.NewIntCmd(ctx, "unlink", t.name(t.epoch(k), k))
		}
		if err := t.direct(ctx, cmds); err != nil {
			return t.unavailable("remove", err)
		}
		keys = keys[n:]
	}
	return nil
}

func (t *Tier) name(epoch events.Epoch, key string) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, len(t.prefix)+17+len(key))
	b = append(b, t.prefix...)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[uint64(epoch)>>shift&15])
	}
	b = append(b, ':')
	return string(append(b, key...))
}

var (
	errBreakerOpen = errors.New("circuit breaker is open")
	errBulkhead    = errors.New("too many callers inside")
	errNoEpoch     = errors.New("epoch is not known yet")
)

// do sends one command through the lanes.
func (t *Tier) do(caller context.Context, epoch events.Epoch, cmd goredis.Cmder) error {
	if epoch == 0 {
		return errNoEpoch
	}
	if !t.enter() {
		return errBulkhead
	}
	defer t.leave()
	ctx := until{Context: caller, by: time.Now().Add(t.timeout)}
	if d, ok := caller.Deadline(); ok && d.Before(ctx.by) {
		ctx.by = d
	}
	if !pipelined(cmd) {
		t.send(ctx, caller, []goredis.Cmder{cmd})
		return cmd.Err()
	}
	return t.lanes.do(ctx, cmd)
}

// until is a context with a deadline that whoever uses it keeps: the client
// sets it on the socket, and lanes start a timer only where they wait. A
// context that watches it by itself costs a tenth of a read.
type until struct {
	context.Context
	by time.Time
}

func (u until) Deadline() (time.Time, bool) { return u.by, true }

// pipelined reports whether cmd is small enough to travel with others.
func pipelined(cmd goredis.Cmder) bool {
	for _, a := range cmd.Args() {
		if b, ok := a.([]byte); ok && len(b) > inLine {
			return false
		}
	}
	return true
}

// direct sends commands past the lanes.
func (t *Tier) direct(caller context.Context, cmds []goredis.Cmder) error {
	if !t.enter() {
		return errBulkhead
	}
	defer t.leave()
	ctx, cancel := context.WithTimeout(caller, t.timeout)
	defer cancel()
	t.send(ctx, caller, cmds)
	for _, c := range cmds {
		if err := c.Err(); err != nil && err != goredis.Nil {
			return err
		}
	}
	return nil
}

func (t *Tier) enter() bool {
	if t.inside.Add(1) > t.most {
		t.inside.Add(-1)
		t.count.turnedAway.Add(1)
		return false
	}
	return true
}

func (t *Tier) leave() { t.inside.Add(-1) }

// send puts commands on the wire, if the breaker lets them, and returns when
// each has its answer or error.
func (t *Tier) send(ctx, caller context.Context, cmds []goredis.Cmder) {
	done, err := t.breaker.Allow()
	if err != nil {
		for _, c := range cmds {
			c.SetErr(errBreakerOpen)
		}
		return
	}
	t.count.trips.Add(1)
	t.count.commands.Add(uint64(len(cmds)))
	if len(cmds) == 1 {
		_ = t.client.Process(ctx, cmds[0]) // the command keeps its error
	} else {
		p := t.client.Pipeline()
		_ = p.BatchProcess(ctx, cmds...)
		_, _ = p.Exec(ctx)
	}
	err = failure(caller, cmds)
	if err != nil && t.reload != nil {
		// The client asks by itself when a server sends it elsewhere; a master
		// that is dead sends nobody, and its replica's rise would go unnoticed for
		// a minute.
		t.reload(caller)
	}
	done(err)
}

func (t *Tier) unavailable(op string, err error) error {
	t.count.unavailable.Add(1)
	return fmt.Errorf("redis %s: %w: %w", op, tiers.ErrUnavailable, err)
}
