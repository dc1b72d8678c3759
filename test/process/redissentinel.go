package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// SentinelMaster is the name under which [Sentinel] knows its master.
const SentinelMaster = "tercet-test"

// Sentinel starts one Redis Sentinel that watches master, with a quorum of
// one, and returns its address as redis+sentinel://host:port?master_name=….
func Sentinel(t testing.TB, master *RedisServer) string {
	t.Helper()
	path := binary(t, "REDIS_SERVER", "redis-server", "install Debian's package redis-server")
	dir := t.TempDir()
	port := FreePort(t)
	host, masterPort, _ := strings.Cut(master.addr, ":")
	conf := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor %s %s %s 1\n", port, dir, SentinelMaster, host, masterPort)
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatalf("configure a sentinel: %v", err)
	}
	s := &RedisServer{Process: start(t, dir, path, file, "--sentinel"), addr: loopback(port)}
	s.awaitAnswer()
	return "redis+sentinel://" + s.addr + "?master_name=" + SentinelMaster
}
