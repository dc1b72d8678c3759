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
	return sentinelURL(startSentinel(t, master, 1))
}

func sentinelURL(first *RedisServer, others ...*RedisServer) string {
	url := "redis+sentinel://" + first.addr + "?master_name=" + SentinelMaster
	for _, s := range others {
		url += "&addr=" + s.addr
	}
	return url
}

// startSentinel starts a Sentinel that calls master dead after half a second.
func startSentinel(t testing.TB, master *RedisServer, quorum int, replicas ...*RedisServer) *RedisServer {
	t.Helper()
	path := binary(t, "REDIS_SERVER", "redis-server", redisHint)
	dir := t.TempDir()
	port := FreePort(t)
	host, masterPort, _ := strings.Cut(master.addr, ":")
	conf := fmt.Sprintf(`bind 127.0.0.1
port %d
dir %s
sentinel monitor %[3]s %s %s %d
sentinel down-after-milliseconds %[3]s 500
sentinel failover-timeout %[3]s 2000
`, port, dir, SentinelMaster, host, masterPort, quorum)
	for _, r := range replicas { // it would ask the master for them every ten seconds
		conf += fmt.Sprintf("sentinel known-replica %s %s\n", SentinelMaster, strings.Replace(r.addr, ":", " ", 1))
	}
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatalf("configure a sentinel: %v", err)
	}
	s := &RedisServer{Process: start(t, dir, path, file, "--sentinel"), addr: loopback(port)}
	s.awaitAnswer()
	return s
}

// RedisPair is a master with a replica, watched by three Sentinels with a quorum
// of two.
type RedisPair struct {
	Master, Replica *RedisServer
	URL             string
}

// Pair starts a pair and returns once the replica follows and the Sentinels
// know each other.
func Pair(t testing.TB) *RedisPair {
	t.Helper()
	p := &RedisPair{Master: Redis(t)}
	host, port, _ := strings.Cut(p.Master.addr, ":")
	p.Replica = Redis(t, "--replicaof", host+" "+port)
	p.Master.awaitReplicas(1)
	var watch []*RedisServer
	for range 3 {
		watch = append(watch, startSentinel(t, p.Master, 2, p.Replica))
	}
	for _, s := range watch {
		s.waitFor("Sentinels that know each other", func() error {
			return s.says("num-slaves 1 num-other-sentinels 2", "SENTINEL", "MASTER", SentinelMaster)
		})
	}
	p.URL = sentinelURL(watch[0], watch[1:]...)
	return p
}
