package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

// Resolve turns a scenario's target into names: "any node" into one of them,
// "leader" into the server that leads the domain's first log, "master" into the
// Redis server that takes writes, and both sides of a link likewise. Names in avoid are busy with other faults or don't run; if
// nobody else is left it returns ok false.
func Resolve(f *fleet.Fleet, target string, dice *rand.Rand, avoid func(name string) bool) (name string, ok bool, err error) {
	from, to, link := strings.Cut(target, "|")
	if from, ok, err = resolve(f, from, dice, avoid); err != nil || !ok || !link {
		return from, ok, err
	}
	also := func(name string) bool { return name == from || avoid(name) }
	to, ok, err = resolve(f, to, dice, also)
	return from + "|" + to, ok, err
}

func resolve(f *fleet.Fleet, target string, dice *rand.Rand, avoid func(string) bool) (string, bool, error) {
	kind, any := strings.CutPrefix(target, "any ")
	switch {
	case target == "leader":
		leader, err := logLeader(f)
		return leader, !avoid(leader), err
	case target == "master":
		master, err := f.RedisMaster(context.Background())
		if errors.Is(err, fleet.ErrNobody) {
			err = fmt.Errorf("%w: %w", ErrNotHere, err)
		}
		return master, !avoid(master), err
	case !any:
		return target, !avoid(target), nil
	}
	names := f.Names(fleet.Kind(kind))
	if len(names) == 0 {
		return "", false, fmt.Errorf("%w: the fleet has no %s", ErrNotHere, kind)
	}
	names = slices.DeleteFunc(names, avoid)
	if len(names) == 0 {
		return "", false, nil
	}
	return names[dice.IntN(len(names))], true, nil
}
