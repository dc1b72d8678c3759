package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/test/chaos/report"
	"github.com/raptorflow/tercet/test/chaos/run"
	"github.com/raptorflow/tercet/test/chaos/scenario"
	"github.com/raptorflow/tercet/test/chaos/visit"
	"github.com/raptorflow/tercet/test/chaos/wire"
	"github.com/raptorflow/tercet/test/chaos/workload"
)

// errChaos reports a run that did not pass; what was found is in its report.
var errChaos = errors.New("the run did not pass")

type chaosFlags struct {
	seed                           uint64
	duration                       time.Duration
	bin, upgrade, dir, nats, redis string
	nodes                          []string
	list                           bool
}

func (a *app) chaosCommand() *cobra.Command {
	var x chaosFlags
	cmd := &cobra.Command{
		Use: "chaos [SCENARIO|FILE ...]", Short: "Break a fleet in every way, and judge what its clients were told",
		Long: `chaos starts a fleet of real processes on this machine (NATS servers in a cluster,
Redis, nodes, invalidators), sends a workload at it, breaks it by the
schedule of each scenario, and judges every answer by the guarantees. If none is
named, it plays a set of ten minutes that has every fault. It needs redis-server and
the binaries node, invalidator and warmer (--bin). A directory keeps the report
(report.html), every operation, and all logs.

Scenario disks mounts small disks, wire makes network namespaces, and soak does
both: without root they fail at once, and say so; the others are played all the same.

With --node it visits a fleet of your own instead: it reads keys that nobody
writes, over links of its own that it slows, cuts and closes. Nothing is written
and no server is touched; the domain's lease is read from NATS if --nats says
where, and Redis is asked whether it answers if --redis does.

The exit code is 0 if every fault took effect and every judge is content.`,
		Example: "  tercet chaos --list\n  tercet chaos smoke --seed 7\n  tercet chaos --domain shop --node redis://10.0.0.5:6379 --node http://10.0.0.6:8080",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case x.list:
				return a.listScenarios()
			case len(x.nodes) > 0 && len(args) > 0:
				return usagef("--node visits a fleet of your own, where no scenario is played")
			case len(x.nodes) > 0:
				return a.visit(cmd.Context(), x)
			case len(args) == 0:
				args = scenario.Fixed()
			}
			return a.chaos(cmd.Context(), x, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&x.list, "list", false, "list the scenarios that ship")
	f.Uint64Var(&x.seed, "seed", 1, "decides whatever a scenario leaves open")
	f.DurationVar(&x.duration, "duration", 0, "how long to play; default the scenario's, and 30s for a visit")
	f.StringVar(&x.bin, "bin", "", "directory of the binaries; default that of this one")
	f.StringVar(&x.upgrade, "upgrade", "", "directory of another build, for the fault upgrade; default the same")
	f.StringVar(&x.dir, "dir", "", "where runs are kept; default chaos-runs")
	f.StringArrayVar(&x.nodes, "node", nil, "visit this node, as redis://host:port or http://host:port; may be repeated")
	f.StringVar(&x.nats, "nats", "", "NATS of the fleet to visit")
	f.StringVar(&x.redis, "redis", "", "Redis of the fleet to visit")
	return cmd
}

func (a *app) listScenarios() error {
	type row struct {
		Name     string  `json:"name"`
		Why      string  `json:"why"`
		Duration float64 `json:"seconds"`
	}
	var all []row
	for _, name := range scenario.Names() {
		s, err := scenario.Load(name)
		if err != nil {
			return err
		}
		all = append(all, row{name, s.Why, s.Duration.Seconds()})
	}
	return a.print(all, func(w io.Writer) {
		for _, r := range all {
			fmt.Fprintf(w, "%-16s %4.0f s  %s\n", r.Name, r.Duration, r.Why)
		}
	})
}

func (a *app) chaos(ctx context.Context, x chaosFlags, names []string) error {
	if x.bin == "" {
		own, err := os.Executable()
		if err != nil {
			return err
		}
		x.bin = filepath.Dir(own)
	}
	for _, b := range []string{"node", "invalidator", "warmer"} {
		if _, err := os.Stat(filepath.Join(x.bin, b)); err != nil {
			return usagef("no binary %s in %s: name their directory with --bin", b, x.bin)
		}
	}
	if x.upgrade == "" {
		x.upgrade = x.bin
	}
	var errs []error
	for _, name := range names {
		s, err := scenario.Load(name)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		rerun := fmt.Sprintf("tercet chaos %s --seed %d", name, x.seed)
		if x.duration > 0 {
			s.Last(x.duration)
			rerun += fmt.Sprintf(" --duration %v", x.duration)
		}
		dir, err := a.chaosDir(x, s.Name)
		if err != nil {
			return err
		}
		a.progress("%s, seed %d: %s\n", s.Name, x.seed, s.Why)
		o, err := run.Play(ctx, run.Config{Scenario: s, Seed: x.seed, Dir: filepath.Join(dir, "run"), Bin: x.bin, Upgrade: x.upgrade, Rerun: rerun, Out: a.err})
		if errors.Is(err, wire.ErrNotPermitted) {
			err = fmt.Errorf("%w; or name the scenarios to play without it", err)
		}
		if err != nil {
			a.progress("%s was NOT PLAYED: %v\n", s.Name, err)
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		errs = append(errs, a.reportRun(dir, o))
	}
	return errors.Join(errs...)
}

// progress tells what happens, beside what is the result.
func (a *app) progress(format string, args ...any) { fmt.Fprintf(a.err, format, args...) }

// chaosDir makes a new directory for one run.
func (a *app) chaosDir(x chaosFlags, name string) (string, error) {
	if x.dir == "" {
		x.dir = "chaos-runs"
	}
	dir, err := filepath.Abs(filepath.Join(x.dir, fmt.Sprintf("%s-%d-%s", name, x.seed, time.Now().UTC().Format("20060102-150405"))))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func (a *app) reportRun(dir string, o *run.Outcome) error {
	if err := report.Write(dir, o); err != nil {
		return err
	}
	err := a.print(report.NewDigest(o), func(w io.Writer) { describeRun(w, o) })
	a.progress("report: %s\n", filepath.Join(dir, report.Page))
	if o.Failed() {
		err = errors.Join(err, fmt.Errorf("%w: %s; again: %s", errChaos, o.Scenario, o.Rerun))
	}
	return err
}

func describeRun(w io.Writer, o *run.Outcome) {
	for _, v := range o.Verdicts {
		sign := "ok"
		switch {
		case v.Failed():
			sign = "WRONG"
		case v.Judged == 0:
			sign = "-"
		}
		fmt.Fprintf(w, "%-5s  %-12s %7d judged  %s%s\n", sign, v.Name, v.Judged, v.Figures, v.Idle)
		if v.Violations > 0 {
			fmt.Fprintf(w, "       %d wrong: %s\n", v.Violations, strings.TrimSpace(v.First))
		}
	}
	for _, f := range o.Case.Faults {
		if f.Missing != "" || f.Proof == "" {
			fmt.Fprintf(w, "WRONG  %s of %s was not injected: %s\n", f.Kind, f.Target, f.Missing)
		}
	}
	for _, t := range o.Trouble {
		fmt.Fprintf(w, "WRONG  %s\n", t)
	}
}

// visit reads from a fleet of the user's own.
func (a *app) visit(ctx context.Context, x chaosFlags) error {
	c, err := a.load("domain")
	if err != nil {
		return err
	}
	v := visit.Config{Domain: c.Domain, Lease: events.DefaultSettings().Lease, Duration: x.duration, Seed: x.seed, Out: a.err}
	if v.Duration == 0 {
		v.Duration = 30 * time.Second
	}
	v.Rerun = fmt.Sprintf("tercet chaos --domain %s --seed %d", c.Domain, x.seed)
	for _, n := range x.nodes {
		u, err := url.Parse(n)
		if err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "http" {
			return usagef("--node %q: want redis://host:port or http://host:port", n)
		}
		e := workload.Endpoint{Name: u.Host}
		if u.Scheme == "redis" {
			e.RESP = u.Host
		} else {
			e.HTTP = u.Host
		}
		v.Nodes = append(v.Nodes, e)
		v.Rerun += " --node " + n
	}
	if err := a.lookAround(ctx, c, x, &v); err != nil {
		return err
	}
	dir, err := a.chaosDir(x, visit.Name)
	if err != nil {
		return err
	}
	o, err := visit.Play(ctx, v)
	if err != nil {
		return err
	}
	return a.reportRun(dir, o)
}

// lookAround asks the servers that were named, without changing anything.
func (a *app) lookAround(ctx context.Context, c *config.Config, x chaosFlags, v *visit.Config) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if x.nats != "" {
		c.NATS.URL = x.nats
		nc, err := link.Dial(c.NATS, "tercet chaos")
		if err != nil {
			return err
		}
		defer nc.Close()
		lease, err := leaseOf(ctx, nc, c.Domain)
		if err != nil {
			return err
		}
		v.Lease = lease
	}
	if x.redis == "" {
		return nil
	}
	o, err := redis.ParseURL(x.redis)
	if err != nil {
		return usagef("--redis: %v", err)
	}
	r := redis.NewClient(o)
	defer r.Close()
	return r.Ping(ctx).Err()
}

func leaseOf(ctx context.Context, nc *nats.Conn, domain string) (time.Duration, error) {
	d, err := jslog.Open(ctx, nc, domain)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return d.Settings().Lease, nil
}
