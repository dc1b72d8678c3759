package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// RedisServer is a running redis-server that keeps nothing on disk unless it
// is told to ([RedisServer.SaveCopy], or arguments of the test's own).
type RedisServer struct {
	*Process
	addr string
	bus  int // of a member of a cluster
}

// Redis starts redis-server with args behind the defaults (loopback, a free
// port, no snapshots, no append-only file) and returns once it answers. It
// ends with the test.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	path := binary(t, "REDIS_SERVER", "redis-server", redisHint)
	port := FreePort(t)
	all := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no",
		"--daemonize", "no", "--loglevel", "notice",
	}, args...)
	dir := t.TempDir()
	all = append(all, "--dir", dir)
	r := &RedisServer{Process: start(t, dir, path, all...), addr: loopback(port)}
	r.awaitAnswer()
	return r
}

// Addr returns host:port.
func (r *RedisServer) Addr() string { return r.addr }

// URL returns the server's address as redis://host:port.
func (r *RedisServer) URL() string { return "redis://" + r.addr }

// Restart starts the server again after it was ended, and returns once it
// answers. Unsaved data is gone.
func (r *RedisServer) Restart() {
	r.t.Helper()
	r.Process.Restart()
	r.awaitAnswer()
}

// SaveCopy writes the server's present content to a file of the test's and
// returns its path, for [RedisServer.ReplaceWith].
func (r *RedisServer) SaveCopy() string {
	r.t.Helper()
	r.do("SAVE")
	content, err := os.ReadFile(r.dump())
	if err != nil {
		r.t.Fatalf("save a copy of redis: %v", err)
	}
	file := filepath.Join(r.t.TempDir(), "copy.rdb")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		r.t.Fatalf("save a copy of redis: %v", err)
	}
	return file
}

// ReplaceWith kills the server and starts it with the content of file, which
// [RedisServer.SaveCopy] wrote: Redis as an older copy of itself, at the same
// address.
func (r *RedisServer) ReplaceWith(file string) {
	r.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatalf("replace redis: %v", err)
	}
	r.Kill()
	if err := os.WriteFile(r.dump(), content, 0o600); err != nil {
		r.t.Fatalf("replace redis: %v", err)
	}
	r.Restart()
}

func (r *RedisServer) dump() string { return filepath.Join(r.dir, "dump.rdb") }

func (r *RedisServer) awaitAnswer() {
	r.t.Helper()
	r.waitFor("an answer", func() error { return r.try("PING") })
}

func (r *RedisServer) do(args ...any) {
	r.t.Helper()
	if err := r.try(args...); err != nil {
		r.t.Fatalf("redis %v: %v", args, err)
	}
}

// awaitReplicas waits until n replicas hold what the server holds.
func (r *RedisServer) awaitReplicas(n int) {
	r.t.Helper()
	r.waitFor("its replicas", func() error {
		for i := range n {
			if err := r.says(fmt.Sprintf("slave%d:", i), "INFO", "replication"); err != nil {
				return err
			}
		}
		return r.says("state=online", "INFO", "replication")
	})
}

// says returns nil if the answer to a command contains text.
func (r *RedisServer) says(text string, args ...any) error {
	answer, err := r.ask(args...)
	if err == nil && !strings.Contains(answer, text) {
		err = fmt.Errorf("%v: no %q in %s", args, text, answer)
	}
	return err
}

// try runs one command over a connection of its own.
func (r *RedisServer) try(args ...any) error {
	_, err := r.ask(args...)
	return err
}

// ask is try with the answer as text; a list's elements have blanks between them.
func (r *RedisServer) ask(args ...any) (string, error) {
	c := goredis.NewClient(&goredis.Options{
		Addr: r.addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second,
		ReadTimeout: 10 * time.Second, DisableIdentity: true, PoolSize: 1, Protocol: 2,
	})
	defer c.Close()
	answer, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		return "", fmt.Errorf("%v: %w", args, err)
	}
	return strings.Trim(fmt.Sprint(answer), "[]"), nil
}
