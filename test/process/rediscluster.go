package process

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// RedisCluster is a Redis Cluster of masters that share the slots out evenly,
// without replicas.
type RedisCluster struct {
	Nodes []*RedisServer
}

// Cluster starts a cluster of n masters and returns once all of them call it
// well. It ends with the test.
func Cluster(t testing.TB, n int) *RedisCluster {
	t.Helper()
	const slots = 16384
	c := &RedisCluster{}
	bus := make([]int, n)
	for i := range n {
		bus[i] = FreePort(t)
		c.Nodes = append(c.Nodes, Redis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus[i])))
	}
	for i, r := range c.Nodes {
		r.do("CLUSTER", "ADDSLOTSRANGE", i*slots/n, (i+1)*slots/n-1)
		for j, other := range c.Nodes[:i] {
			host, port, _ := strings.Cut(other.addr, ":")
			r.do("CLUSTER", "MEET", host, port, bus[j])
		}
	}
	for _, r := range c.Nodes {
		r.waitFor("a whole cluster", func() error {
			one := goredis.NewClient(&goredis.Options{Addr: r.addr, MaxRetries: -1, DisableIdentity: true})
			defer one.Close()
			info, err := one.ClusterInfo(context.Background()).Result()
			if err != nil {
				return err
			}
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", n)) {
				return fmt.Errorf("not yet: %s", info)
			}
			return nil
		})
	}
	return c
}

// URL returns the cluster's address as redis+cluster://host:port.
func (c *RedisCluster) URL() string { return "redis+cluster://" + c.Nodes[0].addr }
