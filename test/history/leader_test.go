package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// told is what a writer was told about one value.
type told struct {
	value int64
	at    events.Position // where it landed; 0: it was not told
	// nothing: it certainly did not land.
	nothing bool
}

// The server that leads the log's stream is killed under load. With the default
// lease no node stops serving, writes go on once there is another leader, none
// is lost, and nobody was told what is not so.
func TestLeaderOfTheLogDies(t *testing.T) {
	servers := process.NATSCluster(t, 3)
	redis := process.Redis(t)
	s := client.DefaultSettings()
	s.Replicas = 3
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var nodes []*client.Client
	for _, name := range []string{"a", "b"} {
		c, err := client.Open(ctx, client.Config{
			Domain: domain, NATSURL: process.ClusterURL(servers), RedisURL: redis.URL(), DataDir: t.TempDir(), NodeID: name,
			Create: true, Settings: &s, L1Size: 1 << 20,
			Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) }) // a server is missing by then
		nodes = append(nodes, c)
	}
	token, err := nodes[0].Set(ctx, "steady", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if _, err := n.Get(ctx, "steady", client.At(client.Session(token))); err != nil {
			t.Fatal(err)
		}
	}

	load, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	var reads, refused atomic.Int64
	for _, n := range nodes {
		all.Go(func() {
			for load.Err() == nil {
				v, err := n.Get(ctx, "steady")
				reads.Add(1)
				if err != nil || string(v.Bytes) != "1" {
					refused.Add(1)
					t.Errorf("a read got %q, %v", v.Bytes, err)
				}
				<-time.After(time.Millisecond)
			}
		})
	}
	var mu sync.Mutex
	var writes []told
	var next, landed atomic.Int64
	for w := range 6 {
		n := nodes[w%len(nodes)]
		all.Go(func() {
			for load.Err() == nil {
				x := told{value: next.Add(1)}
				one, done := context.WithTimeout(ctx, time.Duration(1+w)*2*time.Second) // some give up before there is a leader
				token, err := n.Set(one, fmt.Sprintf("item:%d", x.value%7), strconv.AppendInt(nil, x.value, 10))
				done()
				switch {
				case err == nil:
					x.at = token.At(0).Position
					landed.Add(1)
				case errors.Is(err, client.ErrNotLanded):
					x.nothing = true
				}
				mu.Lock()
				writes = append(writes, x)
				mu.Unlock()
			}
		})
	}
	awaitLanded := func(n int64) {
		for landed.Load() < n {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				stop()
				t.Fatalf("%d writes landed, want %d: they did not go on", landed.Load(), n)
			}
		}
	}
	awaitLanded(200)
	leader := leaderOf(t, ctx, servers)
	before, killed := landed.Load(), time.Now()
	leader.Kill()
	awaitLanded(before + 8) // those in flight may have been answered
	pause := time.Since(killed)
	awaitLanded(before + 400)
	stop()
	all.Wait()
	t.Logf("leader killed after %d writes; they went on %v later; %d reads, %d refused", before, pause.Round(time.Millisecond), reads.Load(), refused.Load())
	if reads.Load() < 1000 {
		t.Errorf("%d reads show too little", reads.Load())
	}
	judgeWrites(t, writes, inTheLog(t, ctx, servers, leader))
}

// judgeWrites compares what writers were told with what the log has.
func judgeWrites(t *testing.T, writes []told, has map[int64][]events.Position) {
	t.Helper()
	landed, nothing, open := 0, 0, 0
	for _, w := range writes {
		at := has[w.value]
		switch {
		case w.at != 0:
			landed++
			if len(at) != 1 || at[0] != w.at {
				t.Errorf("write %d was told to stand at %d; the log has it at %v", w.value, w.at, at)
			}
		case w.nothing:
			nothing++
			if len(at) != 0 {
				t.Errorf("write %d was told not to have landed; the log has it at %v", w.value, at)
			}
		default:
			open++
			if len(at) > 1 {
				t.Errorf("write %d, of which nothing was known, stands in the log %d times", w.value, len(at))
			}
		}
	}
	t.Logf("%d writes landed, %d certainly did not, of %d nothing was known", landed, nothing, open)
}

// leaderOf returns the server that leads the log's stream.
func leaderOf(t *testing.T, ctx context.Context, servers []*process.NATSServer) *process.NATSServer {
	t.Helper()
	stream := logStream(t, ctx, process.ClusterURL(servers))
	for {
		info, err := stream.Info(ctx)
		if err == nil && info.Cluster != nil && info.Cluster.Leader != "" {
			i, err := strconv.Atoi(info.Cluster.Leader[1:]) // n0, n1, n2
			if err != nil {
				t.Fatal(err)
			}
			return servers[i]
		}
		if ctx.Err() != nil {
			t.Fatalf("nobody leads the stream: %v", err)
		}
	}
}

// logStream connects to one of the servers and finds the log's stream.
func logStream(t *testing.T, ctx context.Context, url string) jetstream.Stream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return inTime(t, ctx, func() (jetstream.Stream, error) { return js.Stream(ctx, jslog.LogStream(domain, 0)) })
}

// inTime repeats what a cluster that has just lost a server may refuse.
func inTime[T any](t *testing.T, ctx context.Context, f func() (T, error)) T {
	t.Helper()
	for {
		v, err := f()
		if err == nil {
			return v
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// inTheLog reads the whole log from those who are left: where each value stands.
func inTheLog(t *testing.T, ctx context.Context, servers []*process.NATSServer, dead *process.NATSServer) map[int64][]events.Position {
	t.Helper()
	var url string
	for _, s := range servers {
		if s != dead {
			url = s.URL()
		}
	}
	stream := logStream(t, ctx, url)
	last := stream.CachedInfo()
	c := inTime(t, ctx, func() (jetstream.Consumer, error) {
		return stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	})
	has := map[int64][]events.Position{}
	for {
		m := inTime(t, ctx, func() (jetstream.Msg, error) { return c.Next(jetstream.FetchMaxWait(5 * time.Second)) })
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		r, err := events.DecodeRecord(m.Data())
		if err != nil {
			t.Fatalf("record at %d: %v", meta.Sequence.Stream, err)
		}
		for _, change := range r.Changes {
			p, ok := change.(*events.Put)
			if !ok || p.Key == "steady" {
				continue
			}
			e, err := tiers.Parse(p.Entry)
			if err != nil {
				t.Fatal(err)
			}
			v, err := strconv.ParseInt(string(e.Payload()), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			has[v] = append(has[v], events.Position(meta.Sequence.Stream))
		}
		if meta.Sequence.Stream >= last.State.LastSeq {
			return has
		}
	}
}
