package link

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
)

// Fencer puts fences into the logs of several domains, as the invalidator
// wants it. It is safe for concurrent use.
type Fencer struct {
	nc     *nats.Conn
	create *events.Settings
	log    *slog.Logger

	mu      sync.Mutex // orders Prepare and Close
	writers atomic.Pointer[map[string]*Writer]
}

// NewFencer returns a fencer that knows no domain yet. Missing domains are made
// if create is not nil.
func NewFencer(nc *nats.Conn, create *events.Settings, log *slog.Logger) *Fencer {
	f := &Fencer{nc: nc, create: create, log: log}
	f.writers.Store(&map[string]*Writer{})
	return f
}

// Prepare opens those of domains that are not open yet. On an error none of
// them is added.
func (f *Fencer) Prepare(ctx context.Context, domains []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := maps.Clone(*f.writers.Load())
	var opened []*Writer
	for _, name := range domains {
		if next[name] != nil {
			continue
		}
		w, err := f.open(ctx, name)
		if err != nil {
			for _, w := range opened {
				w.Close()
			}
			return err
		}
		next[name] = w
		opened = append(opened, w)
	}
	f.writers.Store(&next)
	return nil
}

func (f *Fencer) open(ctx context.Context, name string) (*Writer, error) {
	d, err := jslog.AwaitDomain(ctx, f.nc, name, f.create, f.log)
	if err != nil {
		return nil, err
	}
	w, err := NewWriter(d)
	if err != nil {
		d.Close()
	}
	return w, err
}

// Fence puts fences into domain's log, which must have been prepared.
func (f *Fencer) Fence(ctx context.Context, domain string, fences ...*events.Invalidate) error {
	w := (*f.writers.Load())[domain]
	if w == nil {
		return fmt.Errorf("fence domain %q: %w: its log is not open", domain, events.ErrClosed)
	}
	_, err := w.Fence(ctx, fences...)
	return err
}

// Knows reports whether domain's log is open.
func (f *Fencer) Knows(domain string) bool { return (*f.writers.Load())[domain] != nil }

// Close closes the logs. Nothing may be fenced any more.
func (f *Fencer) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range *f.writers.Load() {
		w.Close()
	}
	f.writers.Store(&map[string]*Writer{})
}
