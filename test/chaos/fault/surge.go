package fault

import (
	"context"
	"fmt"
)

var _ = register(
	Kind{Name: "hot-key", What: "all clients ask for one key", Target: "clients", Inject: surge("hot-key")},
	Kind{Name: "skew", What: "a few keys get most of the reads", Target: "clients", Inject: surge("skew")},
	Kind{Name: "thundering-herd", What: "clear the domain, and have all clients ask for the same keys", Target: "clients", Inject: surge("thundering-herd")},
)

func surge(name string) func(context.Context, Scene) (Injection, error) {
	return func(_ context.Context, s Scene) (Injection, error) {
		if s.Surge == nil {
			return Injection{}, fmt.Errorf("%w: no workload", ErrNotHere)
		}
		proof, err := s.Surge(name, s.For)
		return Injection{Target: "clients", What: kinds[name].What, Proof: proof, Heal: func(context.Context) error { return nil }}, err
	}
}
