package jslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

// Await waits between attempts from awaitPause, twice as long after each, up to
// awaitPauseMax: a fleet that starts together must not flood servers that elect
// a leader. An attempt is given attemptWithin.
const (
	awaitPause    = 250 * time.Millisecond
	awaitPauseMax = 2 * time.Second
	attemptWithin = 5 * time.Second
)

// replicasNeedCluster is JetStream's code for replicas that a server without a
// cluster is asked for: it will not grow one.
const replicasNeedCluster jetstream.ErrorCode = 10074

// Await tries until try succeeds, fails with what no waiting can mend, or ctx
// ends. Before each further attempt it logs that it is waiting for what, and for
// how long already. A service calls it at its start, so that it may be started
// before the servers that it needs.
func Await(ctx context.Context, log *slog.Logger, what string, try func(context.Context) error) error {
	began, pause := time.Now(), awaitPause
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptWithin)
		err := try(attempt)
		cancel()
		if err == nil || !passes(err) {
			return err
		}
		waited := time.Since(began).Round(time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("%w after waiting %v for %s: %w", ctx.Err(), waited, what, err)
		}
		log.Warn("waiting for "+what, "waited", waited, "error", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		pause = min(2*pause, awaitPauseMax)
	}
}

// passes reports whether an error is one that ends by itself: nobody answers,
// or nobody leads. Everything else is a mistake somebody has to correct.
func passes(err error) bool {
	var network net.Error
	var api *jetstream.APIError
	switch {
	case errors.Is(err, events.ErrNoDomain), errors.Is(err, events.ErrDrift), errors.Is(err, events.ErrInvalid), errors.Is(err, ErrExists):
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

// AwaitDomain opens the domain name as [Open] does, and waits for NATS and for
// the streams' leaders as [Await] does. A missing domain is made if create is not
// nil, and otherwise [events.ErrNoDomain].
func AwaitDomain(ctx context.Context, nc *nats.Conn, name string, create *events.Settings, log *slog.Logger) (d *Domain, err error) {
	err = Await(ctx, log.With("domain", name), "the domain's streams", func(ctx context.Context) (err error) {
		d, err = Open(ctx, nc, name)
		if create == nil || !errors.Is(err, events.ErrNoDomain) {
			return err
		}
		// Two who create at once with the same settings both succeed.
		if err := Create(ctx, nc, name, *create); err != nil {
			return err
		}
		d, err = Open(ctx, nc, name)
		return err
	})
	return d, err
}
