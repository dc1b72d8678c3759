package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

// ErrNotHere reports a fault that this fleet, or this machine, does not allow.
var ErrNotHere = errors.New("can't be injected here")

// ErrNoEffect reports a fault that was injected and did not show.
var ErrNoEffect = errors.New("it had no effect")

// Scene is where a fault strikes.
type Scene struct {
	Fleet *fleet.Fleet
	// Dice decides whatever the scenario leaves open.
	Dice *rand.Rand
	// Target is resolved: see [Resolve].
	Target string
	// For is how long the fault will last; kinds that need to know may ask.
	For time.Duration
	// With are the kind's parameters.
	With map[string]string
	// Surge lets the workload disturb the fleet; nil: there is none.
	Surge func(name string, d time.Duration) (proof string, err error)
	// Binaries is a directory with another build, for upgrades; empty: none.
	Binaries string
}

// Injection is a fault that took effect.
type Injection struct {
	// Target is who was struck, What what was done to it, Proof how it is known.
	Target, What, Proof string
	// History: the log lost records that were acknowledged. Tier: a tier holds
	// older or damaged content. Restarts: Target was killed and is started again.
	History, Tier, Restarts bool
	// Since is when the damage began, if what was done before it did none.
	Since time.Time
	// Heal undoes it, and returns once the target does its work again; nil: there
	// is nothing to undo.
	Heal func(ctx context.Context) error
}

// Kind is one way to break a fleet.
type Kind struct {
	Name string
	// What says in a sentence what it does, Target what it takes.
	What, Target string
	// With are the parameters that it knows, with their defaults.
	With   map[string]string
	Inject func(ctx context.Context, s Scene) (Injection, error)
}

var kinds = map[string]Kind{}

func register(all ...Kind) struct{} {
	for _, k := range all {
		kinds[k.Name] = k
	}
	return struct{}{}
}

// Kinds are all there are, by name.
func Kinds() []Kind {
	var all []Kind
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		all = append(all, kinds[name])
	}
	return all
}

// Find returns a kind by its name.
func Find(name string) (Kind, bool) {
	k, ok := kinds[name]
	return k, ok
}

// Inject injects a kind with its defaults filled in.
func Inject(ctx context.Context, k Kind, s Scene) (Injection, error) {
	with := maps.Clone(k.With)
	if with == nil {
		with = map[string]string{}
	}
	maps.Copy(with, s.With)
	s.With = with
	in, err := k.Inject(ctx, s)
	if err != nil {
		return in, fmt.Errorf("%s %s: %w", k.Name, s.Target, err)
	}
	if in.Target == "" {
		in.Target = s.Target
	}
	return in, nil
}

func (s Scene) duration(name string) (time.Duration, error) {
	d, err := time.ParseDuration(s.With[name])
	if err != nil {
		return 0, fmt.Errorf("parameter %s: %w", name, err)
	}
	return d, nil
}

func (s Scene) number(name string) (float64, error) {
	n, err := strconv.ParseFloat(s.With[name], 64)
	if err != nil {
		return 0, fmt.Errorf("parameter %s: %w", name, err)
	}
	return n, nil
}

// Wait lets d pass while the fleet goes on; ctx.Err() if ctx is done first.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// eventually polls probe until it succeeds or patience is over.
func eventually(ctx context.Context, patience time.Duration, probe func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		if late := Wait(ctx, 50*time.Millisecond); late != nil {
			return errors.Join(late, err)
		}
	}
}
