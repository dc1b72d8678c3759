package jslog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

// Domain is an open domain. Its methods are safe for concurrent use.
type Domain struct {
	name     string
	settings events.Settings
	logs     []*partition
}

// Open looks a domain up and verifies its streams. It creates nothing. A
// domain that doesn't exist, or was only half created, is
// [events.ErrNoDomain]; one whose streams were changed is a *[DriftError].
//
// The connection stays the caller's: Close leaves it open.
func Open(ctx context.Context, nc *nats.Conn, domain string) (*Domain, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open domain %q: %w", domain, err)
	}
	s, err := lookSettings(ctx, js, domain)
	if err != nil {
		return nil, err
	}
	all, err := streams(domain, s)
	if err != nil {
		return nil, err
	}
	for p, want := range all {
		have, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("domain %q: %w: stream %s is missing; complete it with: tercet domain create %s", domain, events.ErrNoDomain, want.Name, domain)
		}
		if err != nil {
			return nil, fmt.Errorf("open domain %q: stream %s: %w", domain, want.Name, err)
		}
		info := have.CachedInfo()
		if p < s.Partitions {
			if err := checkLog(domain, s, info); err != nil {
				return nil, err
			}
			all[p].Metadata = info.Config.Metadata // the settings as they are written there
		}
		if err := drift(info.Config, want); err != nil {
			return nil, err
		}
	}
	d := &Domain{name: domain, settings: s}
	for p := range s.Partitions {
		d.logs = append(d.logs, newPartition(nc, js, all[p]))
	}
	return d, nil
}

// checkLog verifies what makes a stream a log of the domain.
func checkLog(domain string, s events.Settings, info *jetstream.StreamInfo) error {
	own, err := readSettings(domain, info.Config)
	if err != nil {
		return err
	}
	field, have, want, err := difference(own, s, nil)
	if err != nil {
		return err
	}
	if field != "" {
		return &DriftError{Stream: info.Config.Name, Field: settingsKey + " " + field, Have: have, Want: want}
	}
	if info.State.LastSeq == 0 {
		return fmt.Errorf("domain %q: %w: stream %s has no epoch; complete it with: tercet domain create %s", domain, events.ErrNoDomain, info.Config.Name, domain)
	}
	return nil
}

// Name returns the domain's name.
func (d *Domain) Name() string { return d.name }

// Settings returns the settings that the domain was created with.
func (d *Domain) Settings() events.Settings { return d.settings }

// Log returns the log of a partition, 0 to Settings().Partitions - 1. It is
// the same one at each call.
func (d *Domain) Log(p int) events.Log { return d.logs[p] }

// Close ends all publishing and following and waits for what goes on in the
// background. Records whose outcome is unknown stay indeterminate.
func (d *Domain) Close() {
	for _, l := range d.logs {
		l.mu.Lock()
		l.cancel()
		l.mu.Unlock()
	}
	for _, l := range d.logs {
		l.work.Wait()
		l.asking.close()
	}
}

// partition is one log. It implements [events.Log].
type partition struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	want jetstream.StreamConfig // as it was verified at Open

	// slots holds a token per publish in flight, in the foreground or not.
	slots  chan struct{}
	asking asking

	closed context.Context // ends at Close
	cancel context.CancelFunc
	mu     sync.Mutex // orders background publishes before or after Close
	work   sync.WaitGroup
}

var _ events.Log = (*partition)(nil)

func newPartition(nc *nats.Conn, js jetstream.JetStream, c jetstream.StreamConfig) *partition {
	p := &partition{nc: nc, js: js, want: c, slots: make(chan struct{}, MaxPublishing), asking: asking{nc: nc}}
	p.closed, p.cancel = context.WithCancel(context.Background())
	return p
}

// background runs f unless the log is closed; Close waits for it.
func (p *partition) background(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Err() != nil {
		return false
	}
	p.work.Go(f)
	return true
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
