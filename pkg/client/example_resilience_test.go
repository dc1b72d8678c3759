package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/raptorflow/tercet/pkg/client"
)

// trial opens a client on a NATS server of its own, and returns what ends both.
func trial(policies ...client.KeyPolicy) (*client.Client, func()) {
	dir, err := os.MkdirTemp("", "tercet")
	if err != nil {
		log.Fatal(err)
	}
	nats, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		log.Fatal(err)
	}
	nats.Start()
	if !nats.ReadyForConnections(10 * time.Second) {
		log.Fatal("NATS is not ready")
	}
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{
		Domain: "shop", NATSURL: nats.ClientURL(), Create: true, Policies: policies,
		Logger: slog.New(slog.DiscardHandler), L1Size: 8 << 20, L3Size: 64 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	return c, func() {
		_ = c.Close(ctx)
		nats.Shutdown()
		nats.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}
}

// A value that has expired answers while its origin is down.
func ExampleFailSafe() {
	c, end := trial()
	defer end()
	ctx := context.Background()
	up := true
	price := func(ctx context.Context, key string) (client.Loaded, error) {
		if !up {
			return client.Loaded{}, errors.New("the database is down")
		}
		return client.Loaded{Value: []byte("99 EUR"), TTL: time.Millisecond}, nil
	}
	safe := []client.ReadOption{client.FailSafe(time.Hour), client.Throttle(time.Second)}
	v, err := c.GetOrLoad(ctx, "price:17", price, safe...)
	up = false
	for err == nil && !v.Stale { // until it has expired
		v, err = c.GetOrLoad(ctx, "price:17", price, safe...)
	}
	fmt.Println(string(v.Bytes), v.Stale, err)
	// Output: 99 EUR true <nil>
}

// No reader waits longer than the hard timeout. The load goes on, and the next
// reader finds what it has yielded.
func ExampleTimeouts() {
	c, end := trial()
	defer end()
	ctx := context.Background()
	answer := make(chan struct{})
	report := func(ctx context.Context, key string) (client.Loaded, error) {
		<-answer
		return client.Loaded{Value: []byte("ready")}, nil
	}
	_, err := c.GetOrLoad(ctx, "report", report, client.Timeouts(0, 20*time.Millisecond))
	fmt.Println(errors.Is(err, client.ErrOriginSlow))
	close(answer)
	v, err := c.GetOrLoad(ctx, "report", report)
	fmt.Println(string(v.Bytes), err)
	// Output:
	// true
	// ready <nil>
}

// The origin is asked whether a value is still the one, as with If-None-Match.
func ExamplePrevious() {
	c, end := trial(client.KeyPolicy{Match: "page:", Policy: client.Policy{MaxStale: time.Hour}})
	defer end()
	ctx := context.Background()
	unchanged := 0
	page := func(ctx context.Context, key string) (client.Loaded, error) {
		if old, ok := client.Previous(ctx); ok && old.Validator == `"v1"` {
			unchanged++
			return client.Loaded{NotModified: true, TTL: time.Hour}, nil
		}
		return client.Loaded{Value: []byte("a long page"), Validator: `"v1"`, TTL: time.Millisecond}, nil
	}
	var v client.Value
	for unchanged == 0 { // until it has expired once
		var err error
		if v, err = c.GetOrLoad(ctx, "page:1", page); err != nil {
			log.Fatal(err)
		}
	}
	left, _ := v.TTL()
	fmt.Println(string(v.Bytes), unchanged, left > 59*time.Minute)
	// Output: a long page 1 true
}

// Policies by key: the first that matches counts, and a call may change it.
func ExampleConfig_policies() {
	c, end := trial(
		client.KeyPolicy{Match: "session:", Policy: client.Policy{TTL: 8 * time.Hour, Sliding: 30 * time.Minute}},
		client.KeyPolicy{Match: "price:*", Policy: client.Policy{TTL: time.Minute, EagerAfter: 0.8, Fallback: client.IfOriginFails, MaxStale: time.Hour}},
		client.KeyPolicy{Match: "*", Policy: client.Policy{TTL: time.Hour, NegativeTTL: 10 * time.Second, MemoryTTL: 5 * time.Minute}},
	)
	defer end()
	ctx := context.Background()
	for _, key := range []string{"session:7", "price:17", "page:1"} {
		v, err := c.GetOrLoad(ctx, key, func(context.Context, string) (client.Loaded, error) {
			return client.Loaded{Value: []byte("v"), Priority: client.Low}, nil
		})
		if err != nil {
			log.Fatal(err)
		}
		left, _ := v.TTL()
		fmt.Println(key, left.Round(time.Minute))
	}
	// Output:
	// session:7 30m0s
	// price:17 1m0s
	// page:1 1h0m0s
}

// A read of what is there, and one that asks the origin whatever is there.
func ExampleSkipTiers() {
	c, end := trial()
	defer end()
	ctx := context.Background()
	n := 0
	count := func(context.Context, string) (client.Loaded, error) {
		n++
		return client.Loaded{Value: fmt.Appendf(nil, "load %d", n)}, nil
	}
	_, err := c.GetOrLoad(ctx, "k", count, client.NoLoad())
	fmt.Println(errors.Is(err, client.ErrNotFound))
	for _, opts := range [][]client.ReadOption{nil, nil, {client.SkipTiers(client.SkipReads)}} {
		v, err := c.GetOrLoad(ctx, "k", count, opts...)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(v.Bytes), "from", v.Source)
	}
	// Output:
	// true
	// load 1 from origin
	// load 1 from memory
	// load 2 from origin
}
