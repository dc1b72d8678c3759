package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/pkg/client"
)

// Everywhere fences with the assurance that every member of the domain has
// applied it. Only a member can know that, so it joins each domain, as a guest,
// when it is first asked to fence there. It is safe for concurrent use.
type Everywhere struct {
	config *config.Config
	log    *slog.Logger
	// joining ends with Close: what it still waits for is nobody's any more.
	joining context.Context
	stop    context.CancelFunc

	mu     sync.Mutex
	guests map[string]*guest // by domain
	closed bool
}

// guest is a member to be. Whoever needs it waits until done is closed.
type guest struct {
	done chan struct{}
	node *client.Client // nil if err is not
	err  error
}

// NewEverywhere returns a fencer that has joined no domain yet. Its guests'
// tiers are as small as can be: they serve nobody.
func NewEverywhere(c *config.Config, log *slog.Logger) *Everywhere {
	e := &Everywhere{config: c, log: log, guests: map[string]*guest{}}
	e.joining, e.stop = context.WithCancel(context.Background())
	return e
}

// joinPatience bounds a guest's joining: it has to replay the log.
const joinPatience = 2 * time.Minute

// Fence returns nil once every member of the domain has applied the fences.
func (e *Everywhere) Fence(ctx context.Context, domain string, fences ...*events.Invalidate) error {
	g, err := e.guest(domain)
	if err != nil {
		return err
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.err != nil {
		return fmt.Errorf("join domain %q to fence everywhere: %w", domain, g.err)
	}
	all := make([]events.Invalidate, len(fences))
	for i, f := range fences {
		all[i] = *f
	}
	_, err = g.node.Node().InvalidateMany(ctx, all, node.InvalidateOptions{Concern: node.Everywhere})
	return err
}

// guest returns the domain's guest, who may still be joining. One that failed
// to join, or has ended, is replaced.
func (e *Everywhere) guest(domain string) (*guest, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, events.ErrClosed
	}
	g := e.guests[domain]
	if g != nil && !g.over() {
		return g, nil
	}
	g = &guest{done: make(chan struct{})}
	e.guests[domain] = g
	go func() {
		defer close(g.done)
		g.node, g.err = e.join(domain)
	}()
	return g, nil
}

func (g *guest) over() bool {
	select {
	case <-g.done:
	default:
		return false
	}
	if g.err != nil {
		return true
	}
	select {
	case <-g.node.Done():
		return true
	default:
		return false
	}
}

func (e *Everywhere) join(domain string) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(e.joining, joinPatience)
	defer cancel()
	redis, err := RedisURL(e.config.Redis)
	if err != nil {
		return nil, err
	}
	return client.Open(ctx, client.Config{
		Domain: domain, NATSURL: e.config.NATS.URL, NATS: Options(e.config.NATS), RedisURL: redis,
		Guest: true, Replication: -1, AuditRate: -1, L1Size: 1 << 20, L3Size: 16 << 20, DiskCache: 1 << 20,
		Logger: e.log,
	})
}

// Close leaves the domains. Nothing may be fenced any more.
func (e *Everywhere) Close() error {
	e.stop()
	e.mu.Lock()
	e.closed = true
	guests := e.guests
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var faults []error
	for _, g := range guests {
		<-g.done
		if g.node != nil {
			faults = append(faults, g.node.Close(ctx))
		}
	}
	return errors.Join(faults...)
}
