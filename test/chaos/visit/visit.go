// Package visit brings chaos to a fleet that is somebody's own, as far as that
// harms nothing: it reads keys that nobody writes, over links of its own that it
// slows, cuts and closes, and says how the nodes bear that. It writes nothing,
// joins nothing, and touches no server but by reading from nodes.
package visit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fault"
	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/run"
	"github.com/raptorflow/tercet/test/chaos/workload"
)

// Config says whom to visit.
type Config struct {
	Domain string
	// Nodes are at host:port; one that has no HTTP or no RESP is asked by the
	// other alone. At least one.
	Nodes []workload.Endpoint
	// Lease is the domain's.
	Lease    time.Duration
	Duration time.Duration
	Seed     uint64
	Mix      workload.Mix
	// Rerun is the line that does the same again.
	Rerun string
	Out   io.Writer
}

// Name is the visit's in its report.
const Name = "visit"

// calm passes before the first fault, between two, and after the last.
const calm = 2 * time.Second

// Play visits, and judges how all were served. It returns no sooner than the
// faults of every node have been played.
func Play(ctx context.Context, c Config) (*run.Outcome, error) {
	if len(c.Nodes) == 0 {
		return nil, errors.New("no node to visit")
	}
	o := &run.Outcome{
		Scenario: Name, Why: "clients of " + c.Domain + " read over links that are slow, cut and closed", Seed: c.Seed,
		Began: time.Now(), Rerun: c.Rerun,
	}
	net := fleet.NewNet()
	defer net.Close()
	through, err := routes(net, c.Nodes)
	if err != nil {
		return nil, err
	}
	c.Mix.ReadOnly = true
	begun := time.Now()
	w, err := workload.New(ctx, workload.Config{
		Seed: c.Seed, Mix: c.Mix, Domain: c.Domain, Lease: c.Lease, Begun: begun, Nodes: func() []workload.Endpoint { return through },
	})
	if err != nil {
		return nil, err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.Run(working); err != nil {
			o.Trouble = append(o.Trouble, err.Error())
		}
	})
	v := visitor{net: net, begun: begun, out: c.Out, each: each(c.Duration, len(c.Nodes))}
	for _, n := range c.Nodes {
		v.disturb(ctx, n.Name)
	}
	_ = fault.Wait(ctx, calm)
	stop()
	all.Wait()
	o.Case = judge.Case{
		Record: w.Record(), Faults: v.line, Ended: time.Since(begun), Expect: []string{"unavailable", "recovery"},
		Limits: judge.Limits{Unavailable: 2 * c.Duration},
	}
	o.Took = time.Since(o.Began)
	o.Verdicts = judge.All(o.Case)
	return o, ctx.Err()
}

// routes opens a link for each node.
func routes(net *fleet.Net, nodes []workload.Endpoint) ([]workload.Endpoint, error) {
	out := make([]workload.Endpoint, len(nodes))
	for i, n := range nodes {
		out[i].Name = n.Name
		var err1, err2 error
		if n.RESP != "" {
			out[i].RESP, err1 = net.Add("clients", n.Name, n.RESP)
		}
		if n.HTTP != "" {
			out[i].HTTP, err2 = net.Add("clients", n.Name, n.HTTP)
		}
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// disturbances are what is done to a client's link.
var disturbances = []struct {
	kind, what string
	do         func(fleet.Link) error
}{
	{"slow", "answers come 200 ms late", func(l fleet.Link) error { return l.Slow(fleet.Back, 200*time.Millisecond, 50*time.Millisecond) }},
	{"cut", "what is sent is swallowed", func(l fleet.Link) error { return l.Cut(fleet.Both) }},
	{"refuse", "connections are ended and refused", fleet.Link.Refuse},
}

// each is how long one disturbance may last.
func each(all time.Duration, nodes int) time.Duration {
	return max(time.Second, all/time.Duration(nodes*len(disturbances))-calm)
}

type visitor struct {
	net   *fleet.Net
	begun time.Time
	out   io.Writer
	each  time.Duration
	line  []judge.Fault
}

func (v *visitor) disturb(ctx context.Context, node string) {
	for _, d := range disturbances {
		if fault.Wait(ctx, calm) != nil {
			return
		}
		f := judge.Fault{At: time.Since(v.begun), Kind: d.kind, Target: "clients|" + node, What: d.what}
		link, err := v.net.Link(f.Target)
		if err == nil {
			err = d.do(link)
		}
		_ = fault.Wait(ctx, v.each)
		if err = errors.Join(err, link.Heal()); err != nil {
			f.Missing = err.Error()
		} else {
			f.Proof = "the proxies of this process have done it"
		}
		f.Until = time.Since(v.begun)
		v.line = append(v.line, f)
		fmt.Fprintf(v.out, "%8s  %-8s %s\n", f.At.Round(100*time.Millisecond), f.Kind, f.Target)
	}
}
