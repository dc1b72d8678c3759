package fault

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/process"
)

var _ = register(
	Kind{Name: "kill", What: "end a process at once (SIGKILL); start it again", Target: "a process", Inject: kill},
	Kind{Name: "pause", What: "stop all threads of a process (SIGSTOP); let them go on", Target: "a process", Inject: pause},
	Kind{Name: "stop", What: "ask a process to end (SIGTERM); start it again", Target: "a process", Inject: stop},
	Kind{Name: "kill-all", What: "kill several processes at the same moment; start them again", Target: "nats, redis, node, invalidator, or fleet for all", Inject: killAll},
	Kind{Name: "upgrade", What: "replace nodes one by one by the other one of two builds", Target: "node", Inject: upgrade},
	Kind{Name: "gc-pressure", What: "start a node with a garbage collector that hardly stops", Target: "a node",
		With: map[string]string{"gogc": "3", "memlimit": "24MiB"}, Inject: gcPressure},
)

// restart starts a process and waits until it works.
func restart(ctx context.Context, f *fleet.Fleet, name string) error {
	if err := f.Start(name); err != nil {
		return err
	}
	return f.Await(ctx, name)
}

func kill(_ context.Context, s Scene) (Injection, error) {
	pid, err := s.Fleet.Kill(s.Target)
	if err != nil {
		return Injection{}, err
	}
	if pid == 0 {
		return Injection{}, fmt.Errorf("%w: it did not run", ErrNoEffect)
	}
	return Injection{
		What: "killed it", Proof: fmt.Sprintf("process %d was waited for", pid), Restarts: true,
		Heal: func(ctx context.Context) error { return restart(ctx, s.Fleet, s.Target) },
	}, nil
}

func stop(_ context.Context, s Scene) (Injection, error) {
	pid, err := s.Fleet.Stop(s.Target)
	if err != nil {
		return Injection{}, err
	}
	if pid == 0 {
		return Injection{}, fmt.Errorf("%w: it did not run", ErrNoEffect)
	}
	return Injection{
		What: "told it to end", Proof: fmt.Sprintf("process %d was waited for", pid), Restarts: true,
		Heal: func(ctx context.Context) error { return restart(ctx, s.Fleet, s.Target) },
	}, nil
}

func pause(ctx context.Context, s Scene) (Injection, error) {
	if err := s.Fleet.Pause(ctx, s.Target); err != nil {
		return Injection{}, err
	}
	pid := s.Fleet.Pid(s.Target)
	return Injection{
		What: "stopped it", Proof: fmt.Sprintf("/proc says that all threads of process %d are stopped", pid),
		Heal: func(ctx context.Context) error {
			// Nobody else must have let it go on.
			err := process.Stopped(pid)
			if resumed := s.Fleet.Resume(s.Target); resumed != nil {
				return resumed
			}
			if err != nil {
				return fmt.Errorf("it did not stay stopped: %w", err)
			}
			return s.Fleet.Await(ctx, s.Target)
		},
	}, nil
}

// inOrder are the kinds in the order in which a fleet is started.
var inOrder = []fleet.Kind{fleet.NATS, fleet.Redis, fleet.Sentinel, fleet.Node, fleet.Invalidator, fleet.Warmer}

func killAll(_ context.Context, s Scene) (Injection, error) {
	var names []string
	for _, k := range inOrder {
		if s.Target == "fleet" || s.Target == string(k) {
			names = append(names, s.Fleet.Names(k)...)
		}
	}
	if len(names) == 0 {
		return Injection{}, fmt.Errorf("%w: nobody is a %s", ErrNotHere, s.Target)
	}
	if err := s.Fleet.KillAll(names); err != nil {
		return Injection{}, err
	}
	for _, n := range names {
		if pid := s.Fleet.Pid(n); pid != 0 {
			return Injection{}, fmt.Errorf("%w: %s runs as %d", ErrNoEffect, n, pid)
		}
	}
	return Injection{
		What: "killed all at once: " + strings.Join(names, ", "), Proof: fmt.Sprintf("%d processes were waited for", len(names)), Restarts: true,
		Tier: s.Target == "fleet" || s.Target == string(fleet.Redis), // what Redis held is gone
		Heal: func(ctx context.Context) error {
			// In a fleet's order, so that each wait is for one kind only.
			for _, k := range inOrder {
				if err := startAll(ctx, s.Fleet, k, names); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// startAll starts those of a kind that are among names, and waits for all.
func startAll(ctx context.Context, f *fleet.Fleet, k fleet.Kind, names []string) error {
	var mine []string
	for _, n := range f.Names(k) {
		if slices.Contains(names, n) {
			mine = append(mine, n)
		}
	}
	for _, n := range mine {
		if err := f.Start(n); err != nil {
			return err
		}
	}
	for _, n := range mine {
		if err := f.Await(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// upgrade replaces all nodes, each after the one before it is ready again: by the
// other build, and by the first one again where a node runs that already.
func upgrade(ctx context.Context, s Scene) (Injection, error) {
	if s.Binaries == "" {
		return Injection{}, fmt.Errorf("%w: there is no other build", ErrNotHere)
	}
	var said []string
	for _, n := range s.Fleet.Names(fleet.Node) {
		before, err := program(s.Fleet.Pid(n))
		if err != nil {
			return Injection{}, err
		}
		build := s.Binaries
		if other, err := s.Fleet.Runs(n, build); err != nil {
			return Injection{}, err
		} else if other {
			build = s.Fleet.Binaries()
		}
		if _, err := s.Fleet.Change(n, build); err != nil {
			return Injection{}, err
		}
		if _, err := s.Fleet.Stop(n); err != nil {
			return Injection{}, err
		}
		if err := restart(ctx, s.Fleet, n); err != nil {
			return Injection{}, err
		}
		after, err := program(s.Fleet.Pid(n))
		if err != nil {
			return Injection{}, err
		}
		if before == after {
			return Injection{}, fmt.Errorf("%w: %s runs the same program", ErrNoEffect, n)
		}
		said = append(said, fmt.Sprintf("%s: %s, was %s", n, after, before))
	}
	return Injection{What: "replaced them one by one by another build", Proof: strings.Join(said, "; "), Restarts: true}, nil
}

func gcPressure(ctx context.Context, s Scene) (Injection, error) {
	undo, err := s.Fleet.Change(s.Target, "", "GOGC="+s.With["gogc"], "GOMEMLIMIT="+s.With["memlimit"])
	if err != nil {
		return Injection{}, err
	}
	again := func(ctx context.Context) error {
		if _, err := s.Fleet.Stop(s.Target); err != nil {
			return err
		}
		return restart(ctx, s.Fleet, s.Target)
	}
	heal := func(ctx context.Context) error {
		undo()
		return again(ctx)
	}
	if err := again(ctx); err != nil {
		undo()
		return Injection{}, err
	}
	const cycles = "go_gc_duration_seconds_count"
	first, err := s.Fleet.Metric(ctx, s.Target, cycles)
	if err == nil {
		err = Wait(ctx, second)
	}
	var last float64
	if err == nil {
		last, err = s.Fleet.Metric(ctx, s.Target, cycles)
	}
	in := Injection{
		What:  fmt.Sprintf("started it with GOGC=%s GOMEMLIMIT=%s", s.With["gogc"], s.With["memlimit"]),
		Proof: fmt.Sprintf("%.0f collections in a second", last-first), Restarts: true, Heal: heal,
	}
	if err == nil && last-first < 2 {
		err = fmt.Errorf("%w: %.0f collections in a second", ErrNoEffect, last-first)
	}
	return in, err
}
