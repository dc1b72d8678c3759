package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/server"
	"github.com/raptorflow/tercet/internal/server/httpapi"
	"github.com/raptorflow/tercet/internal/server/resp"
	"github.com/raptorflow/tercet/internal/telemetry"
	"github.com/raptorflow/tercet/pkg/client"
)

// leaveWithin bounds what a node does when it was told to stop: say so in the
// log and close its tiers.
const leaveWithin = 10 * time.Second

// accessSample is of how many reads one is reported to the warmer: enough to
// know the hot keys, too few to slow a read down.
const accessSample = 64

func run(cmd *cobra.Command, c *config.Config) error {
	ctx, log := cmd.Context(), ops.Logger(c.Log)
	build := telemetry.ReadBuild()
	log.Info("starting", "domain", c.Domain, "node", c.NodeID, "version", build.Version, "revision", build.Revision)
	certificates, err := loadCertificates(c)
	if err != nil {
		return err
	}
	images, closeImages, err := link.Snapshots(ctx, c, log)
	if err != nil {
		return err
	}
	defer closeImages()
	member, err := join(ctx, c, images, log)
	if err != nil {
		return err
	}
	// The servers start before the node has caught up, so that whoever probes
	// it sees it alive and not ready, however long the replay takes.
	servers, err := newServers(ctx, c, certificates, member, build, log)
	if err == nil {
		err = servers.run(ctx, member)
		servers.close()
	}
	// Here nobody asks any more: the servers refused who was new, let end what
	// was begun, and have returned. Now the node may stop serving and tell the
	// others that it leaves, so that no writer waits for its lease; then its
	// tiers are closed, which nobody uses any more.
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	log.Info("leaving the domain")
	return errors.Join(err, member.Close(leaving))
}

func join(ctx context.Context, c *config.Config, images client.SnapshotStore, log *slog.Logger) (*client.Client, error) {
	redisURL, err := link.RedisURL(c.Redis)
	if err != nil {
		return nil, err
	}
	redisTLS, err := link.RedisTLS(c.Redis)
	if err != nil {
		return nil, err
	}
	settings := c.Settings()
	keys, err := link.SealKeys(c)
	if err != nil {
		return nil, err
	}
	audits := c.AuditRate
	if audits == 0 {
		audits = -1 // the client's zero is its default
	}
	return client.Start(ctx, client.Config{
		Domain: c.Domain, NATSURL: c.NATS.URL, NATS: link.Options(c.NATS), RedisURL: redisURL, RedisTLS: redisTLS,
		DataDir: c.DataDir, L1Size: c.L1Size, L1Least: c.L1Least, L3Size: c.L3Size, NodeID: c.NodeID, Addresses: addresses(c),
		DefaultTTL: c.DefaultTTL, Policies: link.Policies(c), MaxValue: int(c.MaxValue), AccessSample: accessSample, AuditRate: audits,
		Replication: c.ReplicationFactor(), Compression: client.Compression(c.Compression), SealKeys: keys,
		Snapshots: images, SnapshotRate: int(c.Snapshots.Rate),
		TiersOff: c.TiersOff, Create: c.Create, Settings: &settings, Logger: log,
	})
}

// addresses are those that the node announces to the others, as URLs.
func addresses(c *config.Config) []string {
	var all []string
	announce := func(scheme, addr string) {
		// A port that is chosen at start can't be announced before.
		if _, port, err := net.SplitHostPort(addr); err == nil && port != "0" {
			all = append(all, scheme+"://"+addr)
		}
	}
	announce("redis", c.RESP.Addr)
	announce("http", c.HTTP.Addr)
	return all
}

// certificates are the servers' own; nil without TLS.
type certificates struct{ resp, http *tls.Config }

// loadCertificates comes before everything else: a wrong file should not cost
// a node its place in the domain.
func loadCertificates(c *config.Config) (certificates, error) {
	load := func(key string, t config.ServerTLS) (*tls.Config, error) {
		if !t.Enabled() {
			return nil, nil
		}
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, &config.Error{Key: key, Reason: err.Error(), Err: config.ErrValue}
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
	}
	r, err1 := load("resp.cert", c.RESP.TLS)
	h, err2 := load("http.cert", c.HTTP.TLS)
	return certificates{r, h}, errors.Join(err1, err2)
}

// servers are those of a node; nil where one is switched off.
type servers struct {
	resp *resp.Server
	http *httpapi.Server
	// events is a connection of its own for domain events: a flood of them
	// must not stand in the way of the log's pulses.
	events *nats.Conn
	images *images
	log    *slog.Logger
}

func newServers(ctx context.Context, c *config.Config, certs certificates, member *client.Client, build telemetry.Build, log *slog.Logger) (*servers, error) {
	s := &servers{log: log, images: newImages(member, c, log)}
	var err error
	if c.RESP.Addr != config.Off {
		s.resp, err = resp.New(resp.Deps{Cache: member.Node(), Snapshot: s.images.order(), Logger: log}, resp.Config{
			Addr: c.RESP.Addr, Password: server.NewSecret(c.RESP.Password), TLS: certs.resp,
			MaxConnections: c.RESP.MaxConnections, MaxValue: int(c.MaxValue), IdleTimeout: c.RESP.IdleTimeout,
			Version: build.Version,
		})
		if err != nil {
			return nil, err
		}
	}
	registry, err := telemetry.NewRegistry(build, collectors(member, s.resp, c.Redis.URL != "")...)
	if err != nil {
		return nil, err
	}
	if c.HTTP.Addr != config.Off {
		if s.events, err = link.Keep(ctx, c.NATS, "tercet node events", log); err != nil {
			return nil, err
		}
		intake, err := link.NewIntake(s.events, c.Invalidator)
		if err != nil {
			return nil, err
		}
		s.http, err = httpapi.New(httpapi.Deps{Cache: member.Node(), Metrics: telemetry.Handler(registry), Events: intake, Snapshots: s.images.handler(), Logger: log}, httpapi.Config{
			Addr: c.HTTP.Addr, Domain: c.Domain, Token: server.NewSecret(c.HTTP.Token), TLS: certs.http, MaxValue: c.MaxValue,
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// run serves until ctx is done, a server fails or the node does.
func (s *servers) run(ctx context.Context, member *client.Client) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.resp != nil {
		g.Go(func() error { return s.resp.Run(ctx) })
		g.Go(func() error { return s.announce(ctx, "Redis clients", s.resp) })
	}
	if s.http != nil {
		g.Go(func() error { return s.http.Run(ctx) })
		g.Go(func() error { return s.announce(ctx, "HTTP", s.http) })
	}
	g.Go(func() error { return s.images.run(ctx) })
	g.Go(func() error {
		select {
		case <-member.Ready():
			s.log.Info("joined the domain", "members", len(member.Node().Members()))
		case <-ctx.Done():
		case <-member.Done():
		}
		select {
		case <-ctx.Done():
			return nil
		case <-member.Done():
			return fmt.Errorf("the node ended: %w", member.Close(context.WithoutCancel(ctx)))
		}
	})
	return g.Wait()
}

// close is for the time after run.
func (s *servers) close() {
	if s.events != nil {
		s.events.Close()
	}
}

type listener interface {
	Listening() <-chan struct{}
	Addr() net.Addr
}

// announce says where a server listens, once it does.
func (s *servers) announce(ctx context.Context, whom string, l listener) error {
	select {
	case <-l.Listening():
		s.log.Info("serving "+whom, "address", l.Addr().String())
	case <-ctx.Done():
	}
	return nil
}
