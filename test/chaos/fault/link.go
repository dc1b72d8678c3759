package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

const second = time.Second

var _ = register(
	Kind{Name: "cut", What: "swallow what is sent over a link, in one direction or both", Target: "a link, as node-a|nats",
		With: map[string]string{"direction": "both"}, Inject: cut},
	Kind{Name: "refuse", What: "end the connections of a link and refuse new ones", Target: "a link", Inject: refuse},
	Kind{Name: "slow", What: "delay what is sent over a link", Target: "a link",
		With: map[string]string{"direction": "both", "latency": "150ms", "jitter": "50ms"}, Inject: slow},
	Kind{Name: "loss", What: "lose packets of a link: what TCP makes of it", Target: "a link",
		With: map[string]string{"direction": "both", "share": "0.15"}, Inject: loss},
	Kind{Name: "throttle", What: "let pass so many KiB a second over a link", Target: "a link",
		With: map[string]string{"direction": "both", "rate": "4"}, Inject: throttle},
)

// answerWithin is how long a server may take to answer over a link that works,
// on a machine that is busy.
const answerWithin = 5 * time.Second

func cut(ctx context.Context, s Scene) (Injection, error) {
	d := fleet.Direction(s.With["direction"])
	return onLink(ctx, s, func(l fleet.Link) error { return l.Cut(d) }, silent, "swallow what is sent "+string(d))
}

func refuse(ctx context.Context, s Scene) (Injection, error) {
	return onLink(ctx, s, fleet.Link.Refuse, silent, "end all connections, refuse new ones")
}

// silent proves that nothing answers any more.
func silent(ctx context.Context, l fleet.Link, _ time.Duration) (string, error) {
	n, all := l.Passes(ctx, 300*time.Millisecond)
	if n > 0 {
		return "", fmt.Errorf("%w: %d of %d servers answer over it", ErrNoEffect, n, all)
	}
	return fmt.Sprintf("none of %d servers answers over it", all), nil
}

func slow(ctx context.Context, s Scene) (Injection, error) {
	latency, err1 := s.duration("latency")
	jitter, err2 := s.duration("jitter")
	if err := errors.Join(err1, err2); err != nil {
		return Injection{}, err
	}
	d := fleet.Direction(s.With["direction"])
	return onLink(ctx, s, func(l fleet.Link) error { return l.Slow(d, latency, jitter) }, slower(latency-jitter, 1),
		fmt.Sprintf("delay by %v ± %v, %s", latency, jitter, d))
}

func loss(ctx context.Context, s Scene) (Injection, error) {
	share, err := s.number("share")
	if err != nil {
		return Injection{}, err
	}
	d := fleet.Direction(s.With["direction"])
	return onLink(ctx, s, func(l fleet.Link) error { return l.Lose(d, share) }, slower(200*time.Millisecond, 60),
		fmt.Sprintf("lose %.0f %% of segments, %s: each is a retransmission late", share*100, d))
}

func throttle(ctx context.Context, s Scene) (Injection, error) {
	rate, err := s.number("rate")
	if err != nil {
		return Injection{}, err
	}
	d := fleet.Direction(s.With["direction"])
	return onLink(ctx, s, func(l fleet.Link) error { return l.Throttle(d, int(rate)) }, slower(50*time.Millisecond, 3),
		fmt.Sprintf("let pass %v KiB/s, %s", rate, d))
}

// slower proves that an answer takes by more longer than before, in one of so
// many attempts.
func slower(by time.Duration, attempts int) func(context.Context, fleet.Link, time.Duration) (string, error) {
	return func(ctx context.Context, l fleet.Link, before time.Duration) (string, error) {
		var worst time.Duration
		for i := range attempts {
			took, err := roundTrip(ctx, l)
			if err != nil {
				return "", err
			}
			if worst = max(worst, took); worst >= before+by {
				return fmt.Sprintf("an answer took %v over it at attempt %d, %v before", worst.Round(time.Millisecond), i+1, before.Round(time.Millisecond)), nil
			}
		}
		return "", fmt.Errorf("%w: the slowest of %d answers took %v, %v before", ErrNoEffect, attempts, worst, before)
	}
}

func roundTrip(ctx context.Context, l fleet.Link) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return l.RoundTrip(ctx)
}

func onLink(ctx context.Context, s Scene, do func(fleet.Link) error, prove func(context.Context, fleet.Link, time.Duration) (string, error), what string) (Injection, error) {
	l, err := s.Fleet.Link(s.Target)
	if err != nil {
		return Injection{}, err
	}
	var before time.Duration
	// The best of three: the machine is busy with the fleet.
	for i := range 3 {
		took, err := roundTrip(ctx, l)
		if err != nil {
			return Injection{}, fmt.Errorf("the link did not work before: %w", err)
		}
		if i == 0 || took < before {
			before = took
		}
	}
	in := Injection{What: what, Heal: func(ctx context.Context) error {
		if err := l.Heal(); err != nil {
			return err
		}
		return eventually(ctx, 20*time.Second, func() error {
			_, err := roundTrip(ctx, l)
			return err
		})
	}}
	if err := do(l); err != nil {
		return in, err
	}
	in.Proof, err = prove(ctx, l, before)
	return in, err
}
