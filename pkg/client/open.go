package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/copies"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/peers"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/tiers/redis"
)

// Client is a member of a domain. Make one with [Open].
type Client struct {
	cfg    Config
	node   *node.Node
	origin node.Loader

	nc      *nats.Conn
	domain  *jslog.Domain
	commits []*groupcommit.Committer
	redis   goredis.UniversalClient
	l1      *memory.Cache
	l2      *redis.Tier
	witness *peers.Witness
	l3      diskTier
	// catalogue is nil without snapshots; imaging has room for one that is made.
	catalogue *snapshot.Catalogue
	imaging   chan struct{}
	imaged    imaged
	began     Beginning
	packer    *pack.Packer
	warming   warming
	outbox    relaying
	examine   examiner

	yielding yielding

	stop   context.CancelFunc
	done   chan struct{} // closed when the node has ended
	fault  error         // why; set before done is closed
	closed sync.Once
	err    error
}

// Open joins a domain and returns once this process may serve: when it has
// applied everything up to its own first sign of life in the log. ctx bounds
// that; it does not end the client, [Client.Close] does. While NATS does not
// answer, or has no leader for the domain's streams, Open waits, and tells the
// logger so: a ctx without a deadline waits as long as that takes. What no
// waiting mends fails at once.
//
// Errors: [ErrNoDomain] (with the command that creates one), [ErrInvalid],
// credentials that NATS refuses; at ctx's end, with its error, what the network
// said last.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	c, err := Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	select {
	case <-c.Ready():
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("open domain %q: %w", cfg.Domain, errors.Join(c.fault, c.Close(ctx)))
	case <-ctx.Done():
		why := c.node.Serving()
		_ = c.Close(context.WithoutCancel(ctx)) // the deadline is the news
		return nil, fmt.Errorf("open domain %q: %w while joining: %w", cfg.Domain, ctx.Err(), why)
	}
}

// Start is [Open] for those who want to watch the node join, which takes as
// long as its replay: it returns as soon as the domain was found and the tiers
// are open. Until [Client.Ready] reads answer [ErrNotServing], unless they
// load.
func Start(ctx context.Context, cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := events.ValidateDomain(cfg.Domain); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, origin: adapt(cfg.Origin), done: make(chan struct{}), imaging: make(chan struct{}, 1)}
	if err := c.build(ctx); err != nil {
		return nil, fmt.Errorf("open domain %q: %w", cfg.Domain, errors.Join(err, c.release()))
	}
	running, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() {
		c.fault = c.node.Run(running)
		close(c.done)
	}()
	c.yielding.start(c)
	c.outbox.start(c)
	c.examine.start(c)
	c.warming.start(func(err error) { c.cfg.Logger.Error("warming ended here", "domain", c.cfg.Domain, "error", err) })
	return c, nil
}

// Ready returns a channel that is closed once this process may serve.
func (c *Client) Ready() <-chan struct{} { return c.node.Ready() }

// toCreate returns the settings that a missing domain is made with, nil if it is
// not to be made.
func (c *Client) toCreate() *events.Settings {
	if !c.cfg.Create {
		return nil
	}
	s := events.DefaultSettings()
	if c.cfg.Settings != nil {
		s = *c.cfg.Settings
	}
	return &s
}

func (c *Client) build(ctx context.Context) error {
	if err := c.buildOutbox(); err != nil {
		return err
	}
	err := jslog.Await(ctx, c.cfg.Logger.With("domain", c.cfg.Domain), "NATS", func(context.Context) error { return c.connect() })
	if err != nil {
		return err
	}
	domain, err := jslog.AwaitDomain(ctx, c.nc, c.cfg.Domain, c.toCreate(), c.cfg.Logger)
	if err != nil {
		return err
	}
	c.domain = domain
	settings := domain.Settings()

	incarnation, err := events.NewIncarnation(rand.Reader)
	if err != nil {
		return err
	}
	system := clock.NewSystem()
	deps := node.Deps{Clock: system, Incarnation: incarnation, Logger: c.cfg.Logger.With("domain", c.cfg.Domain)}
	for i := range settings.Partitions {
		l := domain.Log(i)
		commit, err := groupcommit.New(l, groupcommit.Config{Publisher: incarnation})
		if err != nil {
			return err
		}
		c.commits = append(c.commits, commit)
		deps.Logs = append(deps.Logs, l)
		deps.Committers = append(deps.Committers, commit)
	}
	if deps.Peers, err = peers.New(c.nc, c.cfg.Domain); err != nil {
		return err
	}
	if deps.Auditors, err = peers.NewAuditor(c.nc, c.cfg.Domain); err != nil {
		return err
	}
	if err := c.buildPacker(); err != nil {
		return err
	}
	replicas, err := copies.New(c.nc, c.cfg.Domain)
	if err != nil {
		return err
	}
	deps.Replicas = packedReplicas{replicas, c.packer}
	line, err := peers.NewLine(c.nc, c.cfg.Domain)
	if err != nil {
		return err
	}
	deps.Line = packedLine{line, c.packer}
	if err := c.buildCatalogue(); err != nil {
		return err
	}
	if err := c.buildTiers(ctx, settings, system, &deps); err != nil {
		return err
	}
	if err := c.buildWitness(settings, &deps); err != nil {
		return err
	}
	onRead, err := c.buildReport()
	if err != nil {
		return err
	}
	off, err := sources(c.cfg.TiersOff)
	if err != nil {
		return err
	}
	c.node, err = node.New(deps, node.Config{
		Node: events.NodeID(c.cfg.NodeID), Settings: settings, Addresses: c.cfg.Addresses,
		DefaultTTL: c.cfg.DefaultTTL, Policy: c.cfg.Policy, Policies: c.cfg.Policies, WaitTimeout: c.cfg.WaitTimeout,
		LoadTimeout: c.cfg.LoadTimeout, MaxLoads: c.cfg.MaxLoads, MaxValue: c.cfg.MaxValue, Validate: c.cfg.Validate,
		Replication: c.cfg.Replication, Guest: c.cfg.Guest, FetchTimeout: c.cfg.FetchTimeout,
		RebalanceRows: c.cfg.RebalanceRows, RebalanceBytes: c.cfg.RebalanceBytes,
		LoadQueue: c.cfg.LoadQueue, LoadTarget: c.cfg.LoadTarget, TiersOff: off,
		LoadRate: c.cfg.LoadRate, LoadAlone: c.cfg.LoadAlone,
		OnApply: c.traced(c.cfg.OnApply), OnRead: onRead, AuditRate: max(c.cfg.AuditRate, 0),
	})
	if err != nil {
		return err
	}
	return c.buildWorker()
}

func (c *Client) connect() error {
	if c.nc = c.cfg.Conn; c.nc != nil {
		return nil
	}
	opts := append([]nats.Option{
		nats.Name("tercet " + c.cfg.Domain + " " + c.cfg.NodeID),
		nats.MaxReconnects(-1), // a node waits for its log as long as it takes
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 250*time.Millisecond),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
	}, c.cfg.NATS...)
	nc, err := nats.Connect(c.cfg.NATSURL, opts...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	c.nc = nc
	return nil
}

func (c *Client) buildTiers(ctx context.Context, settings events.Settings, system *clock.System, deps *node.Deps) (err error) {
	partition := func(key string) int { return node.Partition(key, settings.Partitions) }
	now := func() int64 { return deps.Clock.Now().Unix }
	c.l1, err = memory.New(memory.Config{
		Bytes: int(c.cfg.L1Size), Partitions: settings.Partitions, Partition: partition,
		Ticks: system.Ticks,
	})
	if err != nil {
		return err
	}
	deps.Memory = c.l1
	c.l3.packer = c.packer
	c.l3.cfg = disk.Config{
		Dir: c.cfg.DataDir, CacheBytes: c.cfg.DiskCache, Budget: c.cfg.L3Size, Partitions: settings.Partitions, Partition: partition,
		Logger: deps.Logger, Now: now,
	}.InMemory()
	if c.cfg.tuneDisk != nil {
		c.cfg.tuneDisk(&c.l3.cfg)
	}
	if err := c.l3.open(); err != nil {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	if deps.Disk = c.l3.port(); deps.Disk == nil {
		c.cfg.Logger.Error("the node starts without a disk tier")
	}
	deps.NewDisk = c.l3.renew
	if c.cfg.RedisURL == "" {
		return nil
	}
	c.redis, err = redis.NewClient(redis.ClientConfig{URL: c.cfg.RedisURL, TLS: c.cfg.RedisTLS})
	if err != nil {
		return err
	}
	c.l2, err = redis.New(redis.Config{
		Client: c.redis, Domain: c.cfg.Domain, Timeout: c.cfg.RedisTimeout,
		Epoch: func(key string) events.Epoch { return c.node.Epoch(key) },
		Now:   func() time.Time { return time.UnixMilli(now()) },
	})
	if err != nil {
		return err
	}
	deps.Shared = packedShared{c.l2, c.packer}
	deps.Turns = packedTurns{turnsPort{c.l2}, c.packer}
	return nil
}

// Close ends serving, says so to the others, and releases everything. It waits
// for the node's loops; ctx bounds that. Closing twice does nothing more.
func (c *Client) Close(ctx context.Context) error {
	c.closed.Do(func() {
		c.warming.halt() // it reads through the node
		c.outbox.halt()  // it writes through it
		c.yielding.halt()
		c.examine.halt()
		c.stop()
		select {
		case <-c.done:
			c.err = c.fault
		case <-ctx.Done():
			c.err = fmt.Errorf("close: %w; what still runs is left behind", ctx.Err())
			return
		}
		c.err = errors.Join(c.err, c.release())
	})
	return c.err
}

// Done is closed when the node has ended, by Close or by a fault, which Close
// returns.
func (c *Client) Done() <-chan struct{} { return c.done }

// release lets go of what was built, the last first.
func (c *Client) release() error {
	var errs []error
	if c.outbox.box != nil {
		errs = append(errs, c.outbox.box.Close())
	}
	for _, x := range c.commits {
		x.Close()
	}
	if c.witness != nil {
		c.witness.Close()
	}
	if c.domain != nil {
		c.domain.Close()
	}
	if c.redis != nil {
		errs = append(errs, c.redis.Close())
	}
	errs = append(errs, c.l3.close())
	if c.nc != nil && c.cfg.Conn == nil {
		c.nc.Close()
	}
	return errors.Join(errs...)
}
