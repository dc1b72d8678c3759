package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
)

// A start waits between attempts from firstPause, twice as long after each, up
// to longestPause: a fleet that starts together must not flood servers that
// elect a leader. An attempt to look the domain up ends after lookupWithin.
const (
	firstPause   = 250 * time.Millisecond
	longestPause = 2 * time.Second
	lookupWithin = 5 * time.Second
)

// replicasNeedCluster is JetStream's code for replicas that a server without a
// cluster is asked for: it will not grow one.
const replicasNeedCluster jetstream.ErrorCode = 10074

// await tries until try succeeds, fails with what no waiting can mend, or ctx
// ends, and logs what it waits for and for how long already.
func (c *Client) await(ctx context.Context, what string, try func() error) error {
	began, pause := time.Now(), firstPause
	for {
		err := try()
		if err == nil || !passes(err) {
			return err
		}
		waited := time.Since(began).Round(time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("%w after waiting %v for %s: %w", ctx.Err(), waited, what, err)
		}
		c.cfg.Logger.Warn("waiting for "+what, "domain", c.cfg.Domain, "waited", waited, "error", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		pause = min(2*pause, longestPause)
	}
}

// passes reports whether an error is one that ends by itself: nobody answers,
// or nobody leads. Everything else is a mistake somebody has to correct.
func passes(err error) bool {
	var network net.Error
	var api *jetstream.APIError
	switch {
	case errors.Is(err, events.ErrNoDomain), errors.Is(err, events.ErrDrift), errors.Is(err, events.ErrInvalid), errors.Is(err, jslog.ErrExists):
		return false
	case errors.As(err, &api):
		return api.Code >= 500 && api.ErrorCode != replicasNeedCluster // no leader, no room, servers that are missing
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, io.EOF):
		return true
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrStaleConnection), errors.Is(err, nats.ErrMaxConnectionsExceeded),
		errors.Is(err, jetstream.ErrNoStreamResponse):
		return true
	}
	return errors.As(err, &network)
}

// find opens the domain, and makes it if the configuration says so.
func (c *Client) find(ctx context.Context) (*jslog.Domain, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	domain, err := jslog.Open(ctx, c.nc, c.cfg.Domain)
	if !c.cfg.Create || !errors.Is(err, events.ErrNoDomain) {
		return domain, err
	}
	s := events.DefaultSettings()
	if c.cfg.Settings != nil {
		s = *c.cfg.Settings
	}
	// Two who create at once with the same settings both succeed.
	if err := jslog.Create(ctx, c.nc, c.cfg.Domain, s); err != nil {
		return nil, err
	}
	return jslog.Open(ctx, c.nc, c.cfg.Domain)
}
