package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/wire"
)

var _ = register(Kind{
	Name: "unplug", What: "pull the cable of a process's host: packets are gone both ways, and nobody is told",
	Target: "a node or a NATS server of a fleet with hosts: namespaces", Inject: unplug,
})

func unplug(ctx context.Context, s Scene) (Injection, error) {
	h, err := s.Fleet.Host(s.Target)
	if errors.Is(err, fleet.ErrNoHost) {
		err = fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	if err != nil {
		return Injection{}, err
	}
	before, err := h.Connect(ctx, answerWithin)
	if err != nil {
		return Injection{}, fmt.Errorf("its host did not answer before: %w", err)
	}
	in := Injection{What: "pulled the cable of its host", Heal: func(ctx context.Context) error {
		if err := h.Plug(); err != nil {
			return err
		}
		return eventually(ctx, 20*time.Second, func() error {
			_, err := h.Connect(ctx, answerWithin)
			return err
		})
	}}
	if err := h.Unplug(); err != nil {
		return in, err
	}
	in.Proof, err = unplugged(ctx, h, before)
	return in, err
}

// unplugged proves that the host is out of reach without a word: its card sees
// nobody, and a new connection is neither taken nor refused.
func unplugged(ctx context.Context, h *wire.Host, before time.Duration) (string, error) {
	if up, err := h.Carrier(); err != nil || up {
		return "", errors.Join(fmt.Errorf("%w: its card has a carrier: %t", ErrNoEffect, up), err)
	}
	const patience = 300 * time.Millisecond
	if _, err := h.Connect(ctx, patience); !errors.Is(err, wire.ErrSilent) {
		return "", fmt.Errorf("%w: a new connection was answered with %v", ErrNoEffect, err)
	}
	return fmt.Sprintf("its card has no carrier; connections were not answered within %v, within %v before", patience, before.Round(time.Millisecond)), nil
}
