package workload

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/history"
)

// respSurface is a Redis client with one connection.
type respSurface struct {
	name   string
	client *redis.Client
}

var _ surface = (*respSurface)(nil)

func newRESP(e Endpoint) *respSurface {
	return &respSurface{e.Name, redis.NewClient(&redis.Options{
		Addr: e.RESP, PoolSize: 1, MaxRetries: -1, DialTimeout: time.Second, Protocol: 3, DisableIdentity: true,
		ContextTimeoutEnabled: true, ReadTimeout: -1, WriteTimeout: -1,
	})}
}

func (s *respSurface) member() string { return s.name }
func (s *respSurface) via() string    { return "resp" }
func (s *respSurface) close()         { _ = s.client.Close() }

// do sends a command and asks for the token behind it, in one trip.
func (s *respSurface) do(ctx context.Context, args ...any) (*redis.Cmd, string) {
	p := s.client.Pipeline()
	cmd, token := p.Do(ctx, args...), p.Do(ctx, "TERCET.TOKEN")
	_, _ = p.Exec(ctx) // each command has its own error
	text, _ := token.Text()
	return cmd, text
}

func respTrouble(err error) string {
	var timeout net.Error
	switch {
	case redis.HasErrorPrefix(err, "TRYAGAIN"):
		return "refused"
	case redis.HasErrorPrefix(err, "INDETERMINATE"):
		return "indeterminate"
	case redis.HasErrorPrefix(err, "TIMEOUT"), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case redis.HasErrorPrefix(err, "ERR"):
		return "error"
	}
	return "unreachable"
}

func (s *respSurface) get(ctx context.Context, key string, r read) answer {
	args := []any{"TERCET.GET", key, "LEVEL", r.level}
	switch {
	case r.level == "bounded":
		args = append(args, r.bound.Milliseconds())
	case r.level == "session" && r.token != "":
		args = append(args, r.token)
	case r.level == "session":
		args[3] = "eventual"
	}
	cmd, token := s.do(ctx, args...)
	text, err := cmd.Text()
	switch {
	case errors.Is(err, redis.Nil):
		return answer{outcome: history.Miss, token: token}
	case err != nil:
		return answer{trouble: respTrouble(err)}
	}
	a := found(key, []byte(text))
	a.token = token
	return a
}

// getMany sets the connection's level first: MGET has none of its own.
func (s *respSurface) getMany(ctx context.Context, keys []string, r read) []answer {
	out := make([]answer, len(keys))
	p := s.client.Pipeline()
	level := []any{"TERCET.LEVEL", r.level}
	if r.level == "bounded" {
		level = append(level, r.bound.Milliseconds())
	}
	p.Do(ctx, level...)
	got := p.MGet(ctx, keys...)
	token := p.Do(ctx, "TERCET.TOKEN")
	_, _ = p.Exec(ctx)
	values, err := got.Result()
	text, _ := token.Text()
	for i := range out {
		switch {
		case err != nil:
			out[i] = answer{trouble: respTrouble(err)}
		case values[i] == nil:
			out[i] = answer{outcome: history.Miss, token: text}
		default:
			v, _ := values[i].(string)
			out[i] = found(keys[i], []byte(v))
			out[i].token = text
		}
	}
	return out
}

func (s *respSurface) set(ctx context.Context, key string, value int64, _ string, everywhere bool) answer {
	args := []any{"TERCET.SET", key, encode(key, value), "EX", 3600, "TAG", tagOf(key)}
	if everywhere {
		args = append(args, "EVERYWHERE")
	}
	return s.written(ctx, args)
}

func (s *respSurface) invalidate(ctx context.Context, sc events.Scope, _ string, everywhere bool) answer {
	args := []any{"TERCET.INVALIDATE"}
	kind, names := "ALL", []string(nil)
	switch {
	case len(sc.Keys) > 0:
		kind, names = "KEY", sc.Keys
	case len(sc.Tags) > 0:
		kind, names = "TAG", sc.Tags
	case len(sc.Prefixes) > 0:
		kind, names = "PREFIX", sc.Prefixes
	}
	args = append(args, kind)
	for _, n := range names {
		args = append(args, n)
	}
	if everywhere {
		args = append(args, "EVERYWHERE")
	}
	return s.written(ctx, args)
}

// written sends a write. TRYAGAIN covers more than what certainly did not land,
// so that nothing is taken from it.
func (s *respSurface) written(ctx context.Context, args []any) answer {
	cmd, token := s.do(ctx, args...)
	if err := cmd.Err(); err != nil {
		return answer{trouble: respTrouble(err)}
	}
	return answer{outcome: history.Done, token: token}
}
