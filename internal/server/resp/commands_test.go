package resp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/server/servertest"
	"github.com/raptorflow/tercet/internal/tiers"
)

func TestWithARealClient(t *testing.T) {
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", proto), func(t *testing.T) {
			s := start(t, Config{Version: "1.2.3"})
			ctx, rdb := t.Context(), s.client(t, proto, "")
			must := func(what string, err error) {
				t.Helper()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			must("set", rdb.Set(ctx, "a", "1", time.Minute).Err())
			if v, err := rdb.Get(ctx, "a").Result(); err != nil || v != "1" {
				t.Errorf("get: %q, %v", v, err)
			}
			if err := rdb.Get(ctx, "none").Err(); !errors.Is(err, redis.Nil) {
				t.Errorf("get of nothing: %v", err)
			}
			if d, err := rdb.TTL(ctx, "a").Result(); err != nil || d <= 58*time.Second || d > time.Minute {
				t.Errorf("ttl: %v, %v", d, err)
			}
			if ok, err := rdb.SetNX(ctx, "a", "2", 0).Result(); err != nil || ok {
				t.Errorf("setnx: %v, %v", ok, err)
			}
			if v, err := rdb.SetArgs(ctx, "a", "3", redis.SetArgs{Get: true, KeepTTL: true}).Result(); err != nil || v != "1" {
				t.Errorf("set get keepttl: %q, %v", v, err)
			}
			if d, err := rdb.PTTL(ctx, "a").Result(); err != nil || d <= 58*time.Second || d > time.Minute {
				t.Errorf("pttl after keepttl: %v, %v", d, err)
			}
			must("mset", rdb.MSet(ctx, "b", "2", "c", "3").Err())
			if v, err := rdb.MGet(ctx, "a", "none", "c").Result(); err != nil || !slices.Equal(v, []any{"3", nil, "3"}) {
				t.Errorf("mget: %v, %v", v, err)
			}
			if n, err := rdb.Exists(ctx, "a", "a", "none").Result(); err != nil || n != 2 {
				t.Errorf("exists: %d, %v", n, err)
			}
			if n, err := rdb.Del(ctx, "a", "a", "none").Result(); err != nil || n != 1 {
				t.Errorf("del: %d, %v", n, err)
			}
			if ok, err := rdb.Expire(ctx, "b", time.Hour).Result(); err != nil || !ok {
				t.Errorf("expire: %v, %v", ok, err)
			}
			if ok, err := rdb.ExpireGT(ctx, "b", time.Minute).Result(); err != nil || ok {
				t.Errorf("expire gt: %v, %v", ok, err)
			}
			if n, err := rdb.DBSize(ctx).Result(); err != nil || n != 2 {
				t.Errorf("dbsize: %d, %v", n, err)
			}
			if v, err := rdb.Type(ctx, "b").Result(); err != nil || v != "string" {
				t.Errorf("type: %s, %v", v, err)
			}
			if v, err := rdb.ConfigGet(ctx, "max*").Result(); err != nil || v["maxclients"] != "10000" {
				t.Errorf("config get: %v, %v", v, err)
			}
			if v, err := rdb.Info(ctx, "server").Result(); err != nil || !strings.Contains(v, "tercet_version:1.2.3") || strings.Contains(v, "# Clients") {
				t.Errorf("info: %q, %v", v, err)
			}
			cmds, err := rdb.Command(ctx).Result()
			if err != nil || cmds["get"] == nil || cmds["get"].Arity != 2 || !cmds["get"].ReadOnly || cmds["mset"].StepCount != 2 || len(cmds) != len(table) {
				t.Errorf("command: %v, %v", cmds, err)
			}
			must("echo", rdb.Echo(ctx, "x").Err())
			must("flushall", rdb.FlushAll(ctx).Err())
			if n, _ := s.cache.Len(ctx); n != 0 {
				t.Errorf("%d keys after flushall", n)
			}
			if v, err := rdb.Do(ctx, "TERCET.EXPLAIN", "b").Result(); err != nil {
				t.Errorf("explain: %v, %v", v, err)
			}
			must("docs", rdb.Do(ctx, "COMMAND", "DOCS", "get", "nope").Err())
			must("no-evict", rdb.Do(ctx, "CLIENT", "NO-EVICT", "on").Err())
		})
	}
}

func TestScanSeesEveryKeyOnce(t *testing.T) {
	inDomains(t, func(t *testing.T, s running) {
		ctx := t.Context()
		for i := range 95 {
			_, _ = s.cache.Put(ctx, fmt.Sprintf("user:%02d", i), []byte("v"), node.PutOptions{})
		}
		_, _ = s.cache.Put(ctx, "other", []byte("v"), node.PutOptions{})
		rdb := s.client(t, 3, "") // a pool: pages go over different connections
		for match, want := range map[string]int{"": 96, "user:*": 95, "user:0?": 10, "user:[1-2]*": 20, "user:[^1-9]*": 10, "u*er:*9": 9, "nope": 0} {
			var got []string
			it := rdb.Scan(ctx, 0, match, 7).Iterator()
			for it.Next(ctx) {
				got = append(got, it.Val())
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
			slices.Sort(got)
			if n := len(slices.Compact(got)); n != want || n != len(got) {
				t.Errorf("%q: %d keys, want %d once each", match, len(got), want)
			}
		}
		if keys, next, err := rdb.ScanType(ctx, 0, "", 10, "zset").Result(); err != nil || len(keys) != 0 || next != 0 {
			t.Errorf("scan of another type: %v, %d, %v", keys, next, err)
		}
	})
}

func TestExpiry(t *testing.T) {
	s := start(t, Config{})
	ctx, rdb := t.Context(), s.client(t, 2, "")
	for _, tc := range []struct {
		do   []any
		want any
	}{
		{[]any{"ttl", "none"}, int64(-2)},
		{[]any{"set", "k", "v"}, "OK"},
		{[]any{"ttl", "k"}, int64(-1)},
		{[]any{"expire", "k", "10", "xx"}, int64(0)},
		{[]any{"expire", "k", "10", "gt"}, int64(0)}, // no end counts as infinite
		{[]any{"expire", "k", "10", "lt"}, int64(1)},
		{[]any{"expire", "k", "5", "nx"}, int64(0)},
		{[]any{"expire", "k", "20", "gt"}, int64(1)},
		{[]any{"expire", "k", "30", "xx", "lt"}, int64(0)},
		{[]any{"ttl", "k"}, int64(20)},
		{[]any{"pexpire", "k", "-1"}, int64(1)},
		{[]any{"exists", "k"}, int64(0)},
		{[]any{"set", "k", "v", "exat", "1"}, "OK"},
		{[]any{"exists", "k"}, int64(0)},
		{[]any{"set", "k", "v", "pxat", fmt.Sprint(time.Now().Add(time.Hour).UnixMilli())}, "OK"},
		{[]any{"ttl", "k"}, int64(3600)},
		{[]any{"set", "k", "w", "xx", "get", "ex", "5"}, "v"},
		{[]any{"set", "k", "x", "nx", "get"}, "w"},
		{[]any{"set", "n", "x", "xx"}, nil},
		{[]any{"set", "n", "x", "nx", "get"}, nil},
		{[]any{"get", "n"}, "x"},
	} {
		got, err := rdb.Do(ctx, tc.do...).Result()
		if errors.Is(err, redis.Nil) {
			got, err = nil, nil
		}
		if err != nil || got != tc.want {
			t.Errorf("%v: %v, %v; want %v", tc.do, got, err, tc.want)
		}
	}
	if err := rdb.Set(ctx, "soon", "v", 20*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for rdb.Exists(ctx, "soon").Val() != 0 {
		time.Sleep(time.Millisecond) // polling, bounded by the test's timeout
	}
}

func TestSetNXIsAtomicOnANode(t *testing.T) {
	cache := servertest.New()
	// Between its look and its write a command waits for another one to come
	// that far, which none must.
	another := make(chan struct{})
	cache.BeforePut = func(context.Context, string) {
		select {
		case another <- struct{}{}: // met by a second one
		case <-another:
		case <-time.After(50 * time.Millisecond):
		}
	}
	s := startWith(t, Config{}, cache)
	rdb := s.client(t, 3, "")
	var mu sync.Mutex
	winners := 0
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			ok, err := rdb.SetNX(t.Context(), "lock", i, 0).Result()
			if err != nil {
				t.Error(err)
			}
			if ok {
				mu.Lock()
				winners++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
}

func TestErrorsOfTheNode(t *testing.T) {
	s := start(t, Config{})
	ctx, rdb := t.Context(), s.client(t, 2, "")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: cut off from the log", node.ErrNotServing), `TRYAGAIN get "k": node does not serve: cut off from the log`},
		{node.ErrOverloaded, `TRYAGAIN get "k": node is overloaded`},
		{&node.Overload{Running: 256, Waiting: 4096, RetryAfter: 3 * time.Second}, `TRYAGAIN get "k": node is overloaded: 256 loads are running and 4096 wait; try again in 3s`},
		{fmt.Errorf("%w: not ours", node.ErrRefused), `ERR get "k": value was refused: not ours`},
		{events.ErrIndeterminate, `INDETERMINATE get "k": record may or may not have landed in the log`},
		{events.ErrNotLanded, `TRYAGAIN get "k": record did not land in the log`},
		{context.DeadlineExceeded, `TIMEOUT get "k": context deadline exceeded; a write may have happened nevertheless`},
		{errors.New("odd\r\n+OK"), `ERR internal error: get "k": odd  +OK`},
	} {
		s.cache.Fail(tc.err)
		if err := rdb.Get(ctx, "k").Err(); err == nil || err.Error() != tc.want {
			t.Errorf("got %v, want %s", err, tc.want)
		}
		for _, do := range [][]any{{"mget", "k", "l"}, {"set", "k", "v"}, {"del", "k"}, {"expire", "k", "1"}, {"scan", "0"}, {"flushall"}} {
			if err := rdb.Do(ctx, do...).Err(); err == nil || errors.Is(err, redis.Nil) {
				t.Errorf("%v during %v: %v", do, tc.err, err)
			}
		}
	}
	if v, err := rdb.Info(ctx, "tercet").Result(); err != nil || !strings.Contains(v, "serving:no: odd  +OK") {
		t.Errorf("info: %q, %v", v, err)
	}
}

func TestTercetCommands(t *testing.T) {
	inDomains(t, func(t *testing.T, s running) {
		c := s.raw(t)
		do := func(send string, want ...string) {
			t.Helper()
			c.send("%s\r\n", send)
			c.expect(want...)
		}
		do("TERCET.SET k v EX 60 TAG a b TAG ex PRIORITY high EVERYWHERE", "+OK")
		put := s.cache.LastPut()
		if put.TTL != time.Minute || !slices.Equal(put.Tags, []string{"a", "b", "ex"}) || put.Flags != tiers.FlagHighPriority || put.Concern != node.Everywhere {
			t.Errorf("tercet.set: %+v", put)
		}
		do("TERCET.GET k", "$1", "v")
		do("TERCET.LEVEL", "$7", "bounded")
		do("TERCET.LEVEL bounded 250", "+OK")
		do("GET k", "$1", "v")
		do("TERCET.GET k LEVEL strong", "$1", "v")
		do("TERCET.LEVEL", "$11", "bounded 250")
		levels := s.cache.Levels()
		if got := levels[len(levels)-2]; got.String() != "bounded 250" {
			t.Errorf("GET was read at %v", got)
		}
		if got := levels[len(levels)-1]; got.Kind() != consistency.KindStrong {
			t.Errorf("TERCET.GET was read at %v", got)
		}

		c.send("TERCET.TOKEN\r\n")
		c.line()
		token := c.line()
		do("TERCET.GET k LEVEL session "+token, "$1", "v")
		ahead := s.cache.Ahead("k")
		do("TERCET.GET k LEVEL session "+ahead.String(), `-TRYAGAIN get "k": node does not serve; not caught up`)

		for send, want := range map[string]events.Invalidate{
			"KEY soft SOFT":         {Scope: events.Scope{Keys: []string{"soft"}}, Soft: true},
			"KEY a everywhere b":    {Scope: events.Scope{Keys: []string{"a", "everywhere", "b"}}},
			"TAG a b":               {Scope: events.Scope{Tags: []string{"a", "b"}}},
			"PREFIX user: SOFT":     {Scope: events.Scope{Prefixes: []string{"user:"}}, Soft: true},
			"GLOB u*":               {Scope: events.Scope{Globs: []string{"u*"}}},
			"ALL SOFT EVERYWHERE":   {Scope: events.Scope{All: true}, Soft: true},
			"KEY soft":              {Scope: events.Scope{Keys: []string{"soft"}}},
			"KEY k EVERYWHERE SOFT": {Scope: events.Scope{Keys: []string{"k"}}, Soft: true},
		} {
			do("TERCET.INVALIDATE "+send, "+OK")
			got, concern := s.cache.LastFence()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %+v", send, got)
			}
			if everywhere := strings.Contains(send, "EVERYWHERE"); (concern == node.Everywhere) != everywhere {
				t.Errorf("%s: concern %v", send, concern)
			}
		}
		do("GET k", "$-1")
		do("RESET", "+RESET")
		do("TERCET.LEVEL", "$7", "bounded")
	})
}
