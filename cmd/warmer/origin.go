package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/origin/http"
	"github.com/raptorflow/tercet/pkg/client"
)

// origin is a node of the warmer's own, which loads over HTTP. Nil: there is
// none.
type origin struct {
	http *http.Origin
	node *client.Client
}

// joinWithin is how long the warmer's node may take to join the domain.
const joinWithin = time.Minute

func openOrigin(ctx context.Context, nc *nats.Conn, c *config.Config, log *slog.Logger) (*origin, error) {
	if c.Warmer.Origin == "" {
		return nil, nil
	}
	h, err := http.New(http.Config{
		Routes:  []http.Route{{URL: c.Warmer.Origin}},
		Timeout: c.Warmer.Timeout, Concurrency: c.Warmer.Concurrency,
	})
	if err != nil {
		return nil, err
	}
	redis, err := link.RedisURL(c.Redis)
	if err != nil {
		return nil, err
	}
	keys, err := link.SealKeys(c)
	if err != nil {
		return nil, err
	}
	redisTLS, err := link.RedisTLS(c.Redis)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	n, err := client.Open(ctx, client.Config{
		Domain: c.Domain, Conn: nc, RedisURL: redis, RedisTLS: redisTLS, Compression: client.Compression(c.Compression), SealKeys: keys, DataDir: c.DataDir, NodeID: c.NodeID,
		L1Size: c.L1Size, L1Least: c.L1Least, L3Size: c.L3Size, DefaultTTL: c.DefaultTTL, Policies: link.Policies(c),
		Replication: c.ReplicationFactor(), Guest: c.DataDir == "", LoadTimeout: c.Warmer.Timeout, MaxLoads: c.Warmer.Concurrency,
		Origin: loader(h), Logger: log,
	})
	if err != nil {
		h.Close()
		return nil, err
	}
	return &origin{h, n}, nil
}

// loader asks the origin.
func loader(h *http.Origin) client.Loader {
	return func(ctx context.Context, key string) (client.Loaded, error) {
		r, err := h.Fetch(ctx, key)
		if errors.Is(err, http.ErrNoRoute) {
			err = fmt.Errorf("%w: %w", client.ErrNoOrigin, err)
		}
		if err != nil {
			return client.Loaded{}, err
		}
		return client.Loaded{Value: r.Body, TTL: r.TTL, Tags: r.Tags, NotFound: r.NotFound, NoStore: !r.Store}, nil
	}
}

func (o *origin) close(ctx context.Context, log *slog.Logger) {
	if o == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := o.node.Close(ctx); err != nil {
		log.Warn("the warmer's node did not close cleanly", "error", err)
	}
	o.http.Close()
}
