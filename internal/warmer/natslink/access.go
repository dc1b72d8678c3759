package natslink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/warmer"
	"github.com/raptorflow/tercet/internal/warmer/access"
)

// AccessSubject returns the subject of a domain's summaries of reads.
func AccessSubject(domain string) string { return "tercet." + domain + ".access" }

// Accesses publishes and follows summaries of reads. It is safe for concurrent
// use.
type Accesses struct {
	nc      *nats.Conn
	subject string
}

var (
	_ warmer.Accesses  = (*Accesses)(nil)
	_ access.Publisher = (*Accesses)(nil)
)

// NewAccesses returns the domain's summaries over nc, which stays the
// caller's.
func NewAccesses(nc *nats.Conn, domain string) *Accesses {
	return &Accesses{nc: nc, subject: AccessSubject(domain)}
}

// PublishAccess sends a summary. While the connection is lost it fails at once:
// a summary is worth nothing by the time that the connection is back.
func (a *Accesses) PublishAccess(_ context.Context, data []byte) error {
	if !a.nc.IsConnected() {
		return fmt.Errorf("publish summary of reads: %w", nats.ErrDisconnected)
	}
	return a.nc.Publish(a.subject, data)
}

// Follow implements [warmer.Accesses]. Of summaries that come faster than fn
// takes them the newest are dropped, beyond a few megabytes.
func (a *Accesses) Follow(ctx context.Context, fn func(data []byte)) error {
	sub, err := a.nc.SubscribeSync(a.subject)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", a.subject, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the subscription may have ended with its connection
	if err := sub.SetPendingLimits(1024, 8<<20); err != nil {
		return fmt.Errorf("subscribe to %s: %w", a.subject, err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			fn(m.Data)
		case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubscription):
			return fmt.Errorf("follow %s: %w", a.subject, err)
		default: // a slow consumer, or a connection that comes back
			if err := rest(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
