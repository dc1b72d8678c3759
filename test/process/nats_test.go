package process_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/test/process"
)

func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestNATSKeepsItsDataOverKill(t *testing.T) {
	s := process.NATS(t, process.SyncAlways())
	js := connect(t, s.URL())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	s.AwaitReady()
	stream, err := connect(t, s.URL()).Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Fatalf("%d messages after kill -9 and restart, want 1", n)
	}
}

func TestNATSClusterStoresOnAllAndOutlivesOne(t *testing.T) {
	servers := process.NATSCluster(t, 3)
	js := connect(t, process.ClusterURL(servers))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(stream.CachedInfo().Cluster.Replicas); n != 2 {
		t.Fatalf("%d replicas beside the leader, want 2", n)
	}
	servers[0].Kill()
	for {
		one, stop := context.WithTimeout(ctx, time.Second)
		_, err := js.Publish(one, "s", []byte("x"))
		stop()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("two of three servers took no message: %v", err)
		}
	}
}
