package judge_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/fleet"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/workload"
)

// A fleet to which nothing happens is found to keep its promises, and every
// judge that needs no fault has something to judge.
func TestQuietFleetIsAcquitted(t *testing.T) {
	const lease = 2 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, err := fleet.Start(ctx, fleet.Config{
		Domain: "chaos", Lease: lease, Rules: []byte(workload.Rules), Listen: "127.0.0.1",
		Load:     func(context.Context, string) ([]byte, []string, error) { return nil, nil, node.ErrNotFound },
		Observer: func(int, time.Time, events.Mark, []events.Change) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // its parts were stopped in any order
	var nodes []workload.Endpoint
	var nats, redis string
	for _, a := range f.Addresses() {
		u, err := url.Parse(a.URL)
		if err != nil {
			t.Fatal(err)
		}
		switch name, what, _ := strings.Cut(a.What, " "); {
		case name == "NATS":
			nats = a.URL
		case name == "Redis":
			redis = a.URL
		case what == "for Redis clients":
			nodes = append(nodes, workload.Endpoint{Name: name, RESP: u.Host})
		default:
			nodes[len(nodes)-1].HTTP = u.Host
		}
	}
	begun := time.Now()
	w, err := workload.New(ctx, workload.Config{
		Seed: 1, Mix: workload.Mix{Generation: 2 * time.Second, Rate: 300}, Domain: "chaos", Begun: begun, Dir: t.TempDir(),
		Nodes:   func() []workload.Endpoint { return nodes },
		NATSURL: nats, RedisURL: redis,
	})
	if err != nil {
		t.Fatal(err)
	}
	acting, stop := context.WithTimeout(ctx, 8*time.Second)
	defer stop()
	if err := w.Run(acting); err != nil {
		t.Fatal(err)
	}
	ended := time.Since(begun)
	if err := w.Settled(ctx); err != nil {
		t.Error(err)
	}
	r := w.Record()
	for _, v := range judge.All(judge.Case{Record: r, Ended: ended, Epoch: "never"}) {
		t.Logf("%-12s %6d judged, %d wrong, expected %t: %s%s", v.Name, v.Judged, v.Violations, v.Expected, v.Figures, v.Idle)
		if v.Failed() {
			t.Errorf("%s: %s %s", v.Name, v.First, v.Idle)
		}
	}
	if err := w.Close(ctx); err != nil {
		t.Error(err)
	}
}
