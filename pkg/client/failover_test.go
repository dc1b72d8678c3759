package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// A Redis that fails over under load loses the writes that its replica had not
// seen. Nothing stale is read, no read fails, and the tier is back by itself.
func TestRedisFailsOver(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (url string, fail func()){
		"Sentinel": func(t *testing.T) (string, func()) {
			p := process.Pair(t)
			return p.URL, p.Master.Kill
		},
		"Cluster": func(t *testing.T) (string, func()) {
			c := process.ClusterWithReplicas(t, 3)
			return c.URL(), c.Nodes[1].Kill
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fleet{t: t, nats: process.NATS(t), dir: t.TempDir()}
			url, fail := start(t)
			var members []*client.Client
			for _, n := range []string{"a", "b", "c"} {
				members = append(members, f.open(n, func(c *client.Config) {
					c.RedisURL, c.RedisTimeout = url, time.Second // a slow answer on a busy machine is no failover
				}))
			}
			l := newLoad(t, members)
			l.run(func() {
				l.await("load before the failure", func() bool { return l.reads.Load() > 2000 && l.shared() > 100 })
				fail()
				failed, hits := time.Now(), l.shared()
				// A member has no trouble any more once no operation failed for
				// two seconds while hits came in.
				trouble, since := l.unavailable(), time.Now()
				l.await("recovery", func() bool {
					if now := l.unavailable(); now != trouble {
						trouble, since = now, time.Now()
					}
					return time.Since(since) > 2*time.Second && l.shared() > hits+100 && l.closed()
				})
				t.Logf("Redis was in trouble for %v; %d operations failed or were held back", since.Sub(failed).Round(10*time.Millisecond), trouble)
				if trouble == 0 {
					t.Error("nothing failed: the failover was not felt")
				}
			})
		})
	}
}

// load is traffic whose every answer is judged: what an Everywhere write has
// confirmed is the least that a read which begins later may return.
type load struct {
	t         *testing.T
	members   []*client.Client
	truth     [64]atomic.Int64
	confirmed [64]atomic.Int64
	reads     atomic.Int64
	writes    atomic.Int64
}

func newLoad(t *testing.T, members []*client.Client) *load { return &load{t: t, members: members} }

// run lets the traffic flow while during runs.
func (l *load) run(during func()) {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context())
	var wg sync.WaitGroup
	for i, m := range l.members {
		for n := range 2 {
			wg.Go(func() { l.read(ctx, m, rand.New(rand.NewPCG(uint64(i), uint64(n)))) })
		}
	}
	wg.Go(func() { l.write(ctx, l.members[0]) })
	during()
	stop()
	wg.Wait()
	l.t.Logf("%d reads, %d writes", l.reads.Load(), l.writes.Load())
	if l.writes.Load() == 0 {
		l.t.Error("nothing was written")
	}
}

func (l *load) key(i int) string { return "row:" + strconv.Itoa(i) }

func (l *load) read(ctx context.Context, m *client.Client, roll *rand.Rand) {
	for ctx.Err() == nil {
		i := roll.IntN(len(l.truth))
		least := l.confirmed[i].Load()
		v, err := m.GetOrLoad(ctx, l.key(i), func(context.Context, string) (client.Loaded, error) {
			return client.Loaded{Value: fmt.Append(nil, l.truth[i].Load())}, nil
		})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.t.Errorf("read %s: %v", l.key(i), err)
			return
		}
		got, err := strconv.ParseInt(string(v.Bytes), 10, 64)
		if err != nil || got < least {
			l.t.Errorf("%s: read %q, %d is everywhere", l.key(i), v.Bytes, least)
			return
		}
		l.reads.Add(1)
	}
}

func (l *load) write(ctx context.Context, m *client.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		i := n % len(l.truth)
		now := l.truth[i].Add(1)
		_, err := m.Invalidate(ctx, client.Invalidation{Keys: []string{l.key(i)}}, client.Everywhere())
		if err == nil {
			l.confirmed[i].Store(now)
			l.writes.Add(1)
		} else if ctx.Err() == nil {
			l.t.Logf("write: %v", err)
		}
	}
}

func (l *load) shared() (n uint64) {
	for _, m := range l.members {
		n += m.TierStats().Shared.Hits
	}
	return n
}

func (l *load) unavailable() (n uint64) {
	for _, m := range l.members {
		n += m.TierStats().Shared.Unavailable
	}
	return n
}

func (l *load) closed() bool {
	for _, m := range l.members {
		if m.TierStats().Shared.Breaker != "closed" {
			return false
		}
	}
	return true
}

func (l *load) await(what string, ok func() bool) {
	l.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	const patience = 4 * time.Minute
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			for _, m := range l.members {
				l.t.Logf("%+v", *m.TierStats().Shared)
			}
			l.t.Fatalf("no %s within %v", what, patience)
		}
	}
}
