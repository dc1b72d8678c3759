package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fault"
	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/gauge"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/scenario"
	"github.com/raptorflow/tercet/test/chaos/workload"
)

// Config says what to play.
type Config struct {
	Scenario *scenario.Scenario
	// Seed decides whatever the scenario leaves open.
	Seed uint64
	// Dir is for everything that the run leaves; it must not exist yet.
	Dir string
	// Bin holds node, invalidator and warmer; Upgrade another build of them, for
	// the fault of that name; empty: none.
	Bin, Upgrade string
	// Env is added to the environment of nodes, as in TERCET_MUTANT=name.
	Env []string
	// Rerun is the line that plays the same again.
	Rerun string
	// Out is told what happens; nil: nobody.
	Out io.Writer
}

// The times of a run.
const (
	startWithin = 3 * time.Minute
	// calm passes before the first fault and after the last: what is normal has to
	// be known, and recovery seen.
	calm = 3 * time.Second
	// settleWithin bounds how long members and events may take to catch up in the
	// end.
	settleWithin = 2 * time.Minute
	sampled      = time.Second
)

// Play plays a scenario and has it judged. The error is that of a harness that
// could not play at all; what the fleet did wrong is in the outcome.
func Play(ctx context.Context, c Config) (*Outcome, error) {
	if c.Out == nil {
		c.Out = io.Discard
	}
	o := &Outcome{Scenario: c.Scenario.Name, Why: c.Scenario.Why, Seed: c.Seed, Rerun: c.Rerun, Dir: c.Dir, Began: time.Now()}
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	f, err := fleet.Start(starting, fleet.Config{
		Dir: filepath.Join(c.Dir, "fleet"), Bin: c.Bin, Env: c.Env, Shape: c.Scenario.Fleet, Rules: []byte(workload.Rules),
	})
	if err != nil {
		return nil, fmt.Errorf("start the fleet: %w", err)
	}
	err = o.play(ctx, starting, c, f)
	// A process that ended by itself did so before it was told to.
	o.Trouble = append(o.Trouble, f.Deaths()...)
	if closing := f.Close(); closing != nil {
		o.Trouble = append(o.Trouble, closing.Error())
	}
	if err != nil {
		return nil, err
	}
	o.Took = time.Since(o.Began)
	fmt.Fprintf(c.Out, "judging %d operations\n", len(o.Case.Ops))
	o.Verdicts = judge.All(o.Case)
	return o, nil
}

func (o *Outcome) play(ctx, starting context.Context, c Config, f *fleet.Fleet) error {
	dir := filepath.Join(c.Dir, "clients")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(c.Dir, "clients.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	begun := time.Now()
	w, err := workload.New(starting, workload.Config{
		Seed: c.Seed, Mix: c.Scenario.Workload, Domain: fleet.Domain, Lease: f.Shape().Lease, Begun: begun,
		Nodes: func() []workload.Endpoint { return endpoints(f) }, NATSURL: f.NATSURL(), RedisURL: f.RedisURL(),
		Embedded: func(i int) (string, string) {
			name := workload.EmbeddedName(i)
			return f.NATSURLFor(name), f.RedisURLFor(name)
		},
		Dir: dir, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		return fmt.Errorf("start the clients: %w", err)
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.Run(working); err != nil {
			o.Trouble = append(o.Trouble, "clients: "+err.Error())
		}
	})
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	watched := make(chan []gauge.Sample, 1)
	go func() {
		watched <- gauge.Watch(watching, begun, sampled, func() []gauge.Process { return processes(f) })
	}()

	_ = fault.Wait(ctx, calm)
	s := newStorm(f, begun, c.Out)
	s.surge = func(name string, d time.Duration) (string, error) { return w.Surge(workload.Surge(name), d) }
	s.binaries = c.Upgrade
	s.play(ctx, c.Scenario, c.Seed)
	_ = fault.Wait(ctx, max(time.Until(begun.Add(c.Scenario.Duration)), 0))
	trouble := o.settle(ctx, f)
	_ = fault.Wait(ctx, calm+f.Shape().Lease)
	stop()
	all.Wait()
	ended := time.Since(begun)
	settling, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	if err := w.Settled(settling); err != nil {
		trouble = errors.Join(trouble, err)
	}
	unwatch()
	o.Case = judge.Case{
		Record: w.Record(), Faults: s.timeline(), Samples: <-watched, Ended: ended,
		Expect: c.Scenario.Expect.Judges, Epoch: c.Scenario.Expect.Epoch, Limits: c.Scenario.Expect.Limits,
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	trouble = errors.Join(trouble, w.Close(closing))
	if trouble != nil {
		o.Trouble = append(o.Trouble, trouble.Error())
	}
	return ctx.Err()
}

// settle waits until everybody works again. Whoever comes first in a fleet's start
// is asked first: what the others say while he does not work means nothing.
func (o *Outcome) settle(ctx context.Context, f *fleet.Fleet) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	if err := f.AwaitNATS(ctx); err != nil {
		return err
	}
	for _, p := range f.Processes() {
		if p.Kind == fleet.NATS {
			continue
		}
		if err := f.Await(ctx, p.Name); err != nil {
			return err
		}
	}
	return nil
}

func endpoints(f *fleet.Fleet) []workload.Endpoint {
	var all []workload.Endpoint
	for _, m := range f.Nodes() {
		all = append(all, workload.Endpoint{Name: m.Name, RESP: m.RESP, HTTP: m.HTTP})
	}
	return all
}

func processes(f *fleet.Fleet) []gauge.Process {
	var all []gauge.Process
	for _, p := range f.Processes() {
		g := gauge.Process{Name: p.Name, Kind: string(p.Kind), Pid: p.Pid}
		if p.HTTP != "" {
			g.Metrics = "http://" + p.HTTP + "/metrics"
		}
		all = append(all, g)
	}
	// The clients and their members live in this process, with the proxies.
	return append(all, gauge.Process{Name: gauge.Harness, Kind: gauge.Harness, Pid: os.Getpid()})
}
