package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/raptorflow/tercet/test/process"
)

// redisServer is a redis-server, of whatever role.
type redisServer struct {
	*program
	port int
	bus  int
	// seen is where others find it: its own address, or a proxy's where servers
	// tell clients of each other.
	seen string
}

func (r *redisServer) addr() string { return loopback(r.port) }

const sentinelMaster = "chaos"

// startRedis starts what the shape asks for. A single server is reached through
// a proxy for each member; Sentinel and Cluster tell clients where to go, all of
// them the same, so that there each server has one proxy for everybody.
func (f *Fleet) startRedis(ctx context.Context) error {
	binary, err := process.LocateRedis()
	if err != nil {
		return err
	}
	switch f.config.Shape.Redis {
	case "none":
		return nil
	case "single":
		r, err := f.newRedis(binary, false)
		if err != nil {
			return err
		}
		return f.startOneRedis(ctx, r)
	case "sentinel":
		return f.startSentinels(ctx, binary)
	case "cluster":
		return f.startRedisCluster(ctx, binary)
	}
	return fmt.Errorf("redis: %q: want single, sentinel, cluster or none", f.config.Shape.Redis)
}

// newRedis describes the next server; announced: it tells others of its proxy.
func (f *Fleet) newRedis(binary string, announced bool, args ...string) (*redisServer, error) {
	name := fmt.Sprintf("redis-%d", len(f.redis))
	port, err := process.PickPort()
	if err != nil {
		return nil, err
	}
	r := &redisServer{program: f.newProgram(name, Redis, binary), port: port, seen: loopback(port)}
	if announced {
		if r.seen, err = f.network.add("any", name, loopback(port), 0); err != nil {
			return nil, err
		}
	}
	r.args = append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--daemonize", "no",
		"--enable-debug-command", "yes", "--maxmemory", "256mb", "--maxmemory-policy", "volatile-lfu", "--dir", r.dir,
	}, args...)
	f.redis = append(f.redis, r)
	return r, nil
}

func (f *Fleet) startOneRedis(ctx context.Context, r *redisServer) error {
	if err := r.start(); err != nil {
		return err
	}
	return f.AwaitRedis(ctx, r.name)
}

func (f *Fleet) startSentinels(ctx context.Context, binary string) error {
	for range 2 {
		r, err := f.newRedis(binary, true)
		if err != nil {
			return err
		}
		host, port, _ := strings.Cut(r.seen, ":")
		r.args = append(r.args, "--replica-announce-ip", host, "--replica-announce-port", port, "--repl-diskless-sync-delay", "0")
		if err := f.startOneRedis(ctx, r); err != nil {
			return err
		}
	}
	// Not by an argument: who is started again is told by the sentinels whom to
	// follow, and that may be another one by then.
	host, port, _ := strings.Cut(f.redis[0].seen, ":")
	if _, err := f.Redis(ctx, "redis-1", "REPLICAOF", host, port); err != nil {
		return err
	}
	err := await(ctx, 30*time.Second, func() error {
		text, err := f.Redis(ctx, "redis-0", "INFO", "replication")
		if err == nil && !strings.Contains(text, "state=online") {
			err = fmt.Errorf("no replica follows: %s", text)
		}
		return err
	})
	if err != nil {
		return err
	}
	for i := range 3 {
		if err := f.startSentinel(i, binary); err != nil {
			return err
		}
	}
	return await(ctx, 30*time.Second, func() error {
		for _, s := range f.sentinels {
			text, err := ask(ctx, loopback(s.port), "SENTINEL", "MASTER", sentinelMaster)
			if err != nil {
				return err
			}
			if !strings.Contains(text, "num-slaves 1 num-other-sentinels 2") {
				return fmt.Errorf("%s does not know the others: %s", s.name, text)
			}
		}
		return nil
	})
}

func (f *Fleet) startSentinel(i int, binary string) error {
	port, err := process.PickPort()
	if err != nil {
		return err
	}
	s := &redisServer{program: f.newProgram(fmt.Sprintf("sentinel-%d", i), Sentinel, binary), port: port, seen: loopback(port)}
	f.sentinels = append(f.sentinels, s)
	space := func(addr string) string { return strings.Replace(addr, ":", " ", 1) }
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor %[3]s %[4]s 2\nsentinel down-after-milliseconds %[3]s 2000\n"+
		"sentinel failover-timeout %[3]s 4000\nsentinel known-replica %[3]s %[5]s\n",
		port, s.dir, sentinelMaster, space(f.redis[0].seen), space(f.redis[1].seen))
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	s.args = []string{file, "--sentinel"}
	return s.start()
}

func (f *Fleet) startRedisCluster(ctx context.Context, binary string) error {
	const masters, slots = 3, 16384
	for i := range 2 * masters {
		r, err := f.newRedis(binary, true)
		if err != nil {
			return err
		}
		if r.bus, err = process.PickPort(); err != nil {
			return err
		}
		host, port, _ := strings.Cut(r.seen, ":")
		r.args = append(r.args, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(r.bus), "--cluster-node-timeout", "1500",
			"--cluster-announce-ip", host, "--cluster-announce-port", port, "--cluster-announce-bus-port", strconv.Itoa(r.bus),
			"--repl-diskless-sync-delay", "0")
		if err := f.startOneRedis(ctx, r); err != nil {
			return err
		}
		if i < masters {
			if _, err := f.Redis(ctx, r.name, "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1); err != nil {
				return err
			}
		}
		for _, other := range f.redis[:i] {
			if _, err := f.Redis(ctx, r.name, "CLUSTER", "MEET", "127.0.0.1", other.port, other.bus); err != nil {
				return err
			}
		}
	}
	for i, r := range f.redis[masters:] {
		err := await(ctx, 30*time.Second, func() error {
			id, err := f.Redis(ctx, f.redis[i].name, "CLUSTER", "MYID")
			if err == nil {
				_, err = f.Redis(ctx, r.name, "CLUSTER", "REPLICATE", id)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, r := range f.redis {
		err := await(ctx, 30*time.Second, func() error {
			text, err := f.Redis(ctx, r.name, "CLUSTER", "INFO")
			if err == nil && !(strings.Contains(text, "cluster_state:ok") && strings.Contains(text, fmt.Sprintf("cluster_known_nodes:%d", 2*masters))) {
				err = fmt.Errorf("%s: %s", r.name, text)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// redisURL is what a client is given that finds server i at addr(i).
func (f *Fleet) redisURL(addr func(i int) string) string {
	join := func(scheme string, first string, rest []string, query string) string {
		for _, a := range rest {
			query += "&addr=" + a
		}
		if query = strings.TrimPrefix(query, "&"); query != "" {
			query = "?" + query
		}
		return scheme + "://" + first + query
	}
	switch f.config.Shape.Redis {
	case "single":
		return "redis://" + addr(0)
	case "sentinel":
		var rest []string
		for _, s := range f.sentinels[1:] {
			rest = append(rest, loopback(s.port))
		}
		return join("redis+sentinel", loopback(f.sentinels[0].port), rest, "master_name="+sentinelMaster)
	case "cluster":
		var rest []string
		for i := range f.redis[1:] {
			rest = append(rest, f.redis[i+1].seen)
		}
		return join("redis+cluster", f.redis[0].seen, rest, "")
	}
	return ""
}

// Redis has a server answer a command, past all proxies.
func (f *Fleet) Redis(ctx context.Context, server string, args ...any) (string, error) {
	for _, r := range f.redis {
		if r.name == server {
			return ask(ctx, r.addr(), args...)
		}
	}
	return "", fmt.Errorf("there is no %s", server)
}

// RedisMaster is the name of the server that takes writes: with Sentinel, the one
// that the sentinels agree on.
func (f *Fleet) RedisMaster(ctx context.Context) (string, error) {
	switch {
	case len(f.redis) == 1:
		return f.redis[0].name, nil
	case len(f.sentinels) == 0:
		return "", fmt.Errorf("%w: redis is %s", ErrNobody, f.config.Shape.Redis)
	}
	var agreed string
	for i, s := range f.sentinels {
		said, err := ask(ctx, s.addr(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinelMaster)
		if err != nil {
			return "", err
		}
		if i > 0 && said != agreed {
			return "", fmt.Errorf("the sentinels follow %s and %s", agreed, said)
		}
		agreed = said
	}
	for _, r := range f.redis {
		if strings.Replace(r.seen, ":", " ", 1) == agreed {
			return r.name, nil
		}
	}
	return "", fmt.Errorf("the sentinels follow %s, which is nobody's", agreed)
}

// AwaitRedis waits until a server answers and has loaded what it keeps.
func (f *Fleet) AwaitRedis(ctx context.Context, server string) error {
	return await(ctx, 20*time.Second, func() error {
		_, err := f.Redis(ctx, server, "PING")
		return err
	})
}

// quiet keeps go-redis, and [hush] toxiproxy too, from writing to the harness's
// output what they also return as errors.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var hush = sync.OnceFunc(func() {
	goredis.SetLogger(quiet{})
	zerolog.SetGlobalLevel(zerolog.Disabled)
})

// ask runs one command over a connection of its own; a list's elements have
// blanks between them.
func ask(ctx context.Context, addr string, args ...any) (string, error) {
	c := goredis.NewClient(&goredis.Options{
		Addr: addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ContextTimeoutEnabled: true,
		ReadTimeout: 20 * time.Second, DisableIdentity: true, PoolSize: 1, Protocol: 2,
	})
	defer c.Close()
	answer, err := c.Do(ctx, args...).Result()
	if err != nil {
		return "", fmt.Errorf("redis %v: %w", args[0], err)
	}
	return strings.Trim(fmt.Sprint(answer), "[]"), nil
}
