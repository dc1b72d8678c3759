package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/internal/trial/input"
	"github.com/raptorflow/tercet/internal/trial/play"
	"github.com/raptorflow/tercet/internal/warmer"
	"github.com/raptorflow/tercet/internal/warmer/hotset"
	"github.com/raptorflow/tercet/internal/warmer/natslink"
)

// Size is how many nodes a fleet has.
const Size = 3

// Config says what fleet to start. All fields are required but Listen.
type Config struct {
	Domain string
	// Lease is the domain's.
	Lease time.Duration
	// Rules are the invalidator's, in YAML.
	Rules []byte
	// Load is the origin.
	Load play.Load
	// Observer is told what each node applies.
	Observer play.Observer
	// Listen is the address that the servers listen on for others, such as
	// 127.0.0.1; empty: they don't.
	Listen string
}

// Fleet is a running fleet. Its methods are safe for concurrent use, except
// that a member must not be read while it is stopped or started.
type Fleet struct {
	config  Config
	dir     string
	nats    *server.Server
	redis   *miniredis.Miniredis
	members []*member

	conn        *nats.Conn
	js          jetstream.JetStream
	domain      *jslog.Domain
	fencer      *fencer
	invalidator *invalidator.Invalidator
	warmer      *warmer.Warmer

	end     context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	faults  []error
}

var _ play.Fleet = (*Fleet)(nil)

// Start starts a fleet and returns once every node may serve and events are
// followed. ctx bounds the start; [Fleet.Close] ends the fleet.
func Start(ctx context.Context, c Config) (*Fleet, error) {
	f := &Fleet{config: c}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context) (err error) {
	set, err := rules.Parse("trial.yaml", f.config.Rules, rules.Options{})
	if err != nil {
		return err
	}
	if f.dir, err = os.MkdirTemp("", "tercet-trial-"); err != nil {
		return fmt.Errorf("directory for the fleet's data: %w", err)
	}
	if f.nats, err = StartNATS(filepath.Join(f.dir, "nats"), f.config.Listen); err != nil {
		return err
	}
	if f.redis, err = StartRedis(); err != nil {
		return err
	}
	life, end := context.WithCancel(context.Background())
	f.end = end
	f.running.Go(func() { passTime(life, f.redis) })

	if err := f.createDomain(ctx); err != nil {
		return err
	}
	for i := range Size {
		m := newMember(f, i)
		f.members = append(f.members, m)
		if err := m.Start(ctx); err != nil {
			return err
		}
	}
	if err := f.startInvalidator(ctx, life, set); err != nil {
		return err
	}
	return f.startWarmer(life)
}

// createDomain makes the domain and the streams of events, and opens the log
// for those who write and follow it without being nodes.
func (f *Fleet) createDomain(ctx context.Context) (err error) {
	if f.conn, err = f.dial("trial"); err != nil {
		return err
	}
	if f.js, err = jetstream.New(f.conn); err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	s := events.DefaultSettings()
	s.Lease = f.config.Lease
	if err := jslog.Create(ctx, f.conn, f.config.Domain, s); err != nil {
		return err
	}
	if err := invalidator.EnsureStreams(ctx, f.js, invalidator.StreamOptions{}); err != nil {
		return err
	}
	if f.domain, err = jslog.Open(ctx, f.conn, f.config.Domain); err != nil {
		return err
	}
	f.fencer, err = newFencer(f.domain)
	return err
}

func (f *Fleet) startInvalidator(ctx, life context.Context, set *rules.Set) (err error) {
	f.invalidator, err = invalidator.New(
		invalidator.Deps{JetStream: f.js, Fencer: f.fencer, Rules: set},
		invalidator.Config{Grace: 5 * time.Second},
	)
	if err != nil {
		return err
	}
	f.keep(life, "invalidator", f.invalidator.Run)
	select {
	case <-f.invalidator.Ready():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("start the invalidator: %w", ctx.Err())
	}
}

func (f *Fleet) startWarmer(life context.Context) error {
	predictor, err := hotset.New(warmer.DefaultHotset(0))
	if err != nil {
		return err
	}
	queue, err := natslink.NewWork(f.conn, f.config.Domain)
	if err != nil {
		return err
	}
	f.warmer, err = warmer.New(warmer.Deps{
		Logs:     []warmer.Follower{f.domain.Log(0)},
		Accesses: natslink.NewAccesses(f.conn, f.config.Domain),
		Queue:    queue, Predictor: predictor,
	}, warmer.Config{Rate: 500})
	if err != nil {
		return err
	}
	f.keep(life, "warmer", f.warmer.Run)
	return nil
}

// keep runs a part until life ends, and remembers why it ended before that.
func (f *Fleet) keep(life context.Context, what string, part func(context.Context) error) {
	f.running.Go(func() {
		if err := part(life); err != nil && life.Err() == nil {
			f.mu.Lock()
			f.faults = append(f.faults, fmt.Errorf("%s ended: %w", what, err))
			f.mu.Unlock()
		}
	})
}

// run runs parts until ctx ends and waits for all of them.
func run(ctx context.Context, parts ...func(context.Context) error) {
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() { _ = part(ctx) }) // none of them makes a read wrong by ending
	}
	wg.Wait()
}

// Members implements [play.Fleet].
func (f *Fleet) Members() []play.Member {
	out := make([]play.Member, len(f.members))
	for i, m := range f.members {
		out[i] = m
	}
	return out
}

// publishTry bounds one attempt to publish an event.
const publishTry = 5 * time.Second

// Publish implements [play.Fleet]. All attempts bear one id, so that the event
// is kept once.
func (f *Fleet) Publish(ctx context.Context, c *input.Change) (uint64, error) {
	m := nats.NewMsg(c.Subject)
	m.Header.Set(nats.MsgIdHdr, f.config.Domain+"|"+c.ID)
	m.Data = c.Event
	for {
		try, cancel := context.WithTimeout(ctx, publishTry)
		ack, err := f.js.PublishMsg(try, m)
		cancel()
		if err == nil {
			return ack.Sequence, nil
		}
		if ctx.Err() != nil {
			return 0, err
		}
	}
}

// Stats implements [play.Fleet].
func (f *Fleet) Stats() play.FleetStats {
	s := play.FleetStats{DeadLetters: f.invalidator.Stats().DeadLetters}
	for _, m := range f.members {
		s.Warmed += m.warmed.Load()
	}
	return s
}

// Addresses implements [play.Fleet].
func (f *Fleet) Addresses() []play.Address {
	if f.config.Listen == "" {
		return nil
	}
	out := []play.Address{
		{What: "NATS", URL: f.nats.ClientURL()},
		{What: "Redis stand-in", URL: "redis://" + f.redis.Addr()},
	}
	for _, m := range f.members {
		if m.servers != nil {
			out = append(out, m.servers.addresses(m.ended, m.name)...)
		}
	}
	return out
}

// closing bounds how long a node may take to leave.
const closing = 10 * time.Second

// Close implements [play.Fleet]. The parts end before what they stand on: who
// writes first, then the nodes, then the servers, then their files.
func (f *Fleet) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if f.end != nil {
		f.end()
		f.running.Wait()
	}
	errs := f.faults
	for _, m := range f.members {
		errs = append(errs, m.Stop(ctx))
	}
	if f.fencer != nil {
		f.fencer.commit.Close()
	}
	if f.domain != nil {
		f.domain.Close()
	}
	if f.conn != nil {
		f.conn.Close()
	}
	if f.redis != nil {
		f.redis.Close()
	}
	if f.nats != nil {
		StopNATS(f.nats)
	}
	if f.dir != "" {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	return errors.Join(errs...)
}
