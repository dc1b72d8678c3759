package process

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// RedisCluster is a Redis Cluster of masters that share the slots out evenly.
type RedisCluster struct {
	Nodes []*RedisServer
	// Replicas are of the masters of the same index; none unless asked for.
	Replicas []*RedisServer
}

// ClusterWithReplicas is [Cluster] with a replica of each master, which takes
// over about a second after that is gone.
func ClusterWithReplicas(t testing.TB, n int) *RedisCluster {
	t.Helper()
	c := Cluster(t, n)
	for i, master := range c.Nodes {
		r := clusterNode(t)
		c.Replicas = append(c.Replicas, r)
		id, err := master.ask("CLUSTER", "MYID")
		if err != nil {
			t.Fatal(err)
		}
		meet(r, c.Nodes[0])
		r.waitFor("its master", func() error { return r.try("CLUSTER", "REPLICATE", id) })
		c.Nodes[i].awaitReplicas(1)
	}
	for _, m := range c.Nodes {
		m.waitFor("all members", func() error { return m.says(fmt.Sprintf("cluster_known_nodes:%d", 2*n), "CLUSTER", "INFO") })
	}
	return c
}

// clusterNode starts a server that can be a member of a cluster.
func clusterNode(t testing.TB) *RedisServer {
	t.Helper()
	bus := FreePort(t)
	r := Redis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "700",
		"--repl-diskless-sync-delay", "0")
	r.bus = bus
	return r
}

func meet(r, other *RedisServer) {
	host, port, _ := strings.Cut(other.addr, ":")
	r.do("CLUSTER", "MEET", host, port, other.bus)
}

// Cluster starts a cluster of n masters and returns once all of them call it
// well. It ends with the test.
func Cluster(t testing.TB, n int) *RedisCluster {
	t.Helper()
	const slots = 16384
	c := &RedisCluster{}
	for range n {
		c.Nodes = append(c.Nodes, clusterNode(t))
	}
	for i, r := range c.Nodes {
		r.do("CLUSTER", "ADDSLOTSRANGE", i*slots/n, (i+1)*slots/n-1)
		for _, other := range c.Nodes[:i] {
			meet(r, other)
		}
	}
	for _, r := range c.Nodes {
		r.waitFor("a whole cluster", func() error {
			if err := r.says("cluster_state:ok", "CLUSTER", "INFO"); err != nil {
				return err
			}
			return r.says(fmt.Sprintf("cluster_size:%d\r", n), "CLUSTER", "INFO")
		})
	}
	return c
}

// URL returns the cluster's addresses as redis+cluster://host:port?addr=….
func (c *RedisCluster) URL() string {
	url := "redis+cluster://" + c.Nodes[0].addr
	sign := "?"
	for _, r := range c.Nodes[1:] {
		url += sign + "addr=" + r.addr
		sign = "&"
	}
	return url
}
