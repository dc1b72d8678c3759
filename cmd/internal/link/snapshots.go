package link

import (
	"context"
	"log/slog"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/directory"
	"github.com/raptorflow/tercet/internal/snapshot/objectstore"
	"github.com/raptorflow/tercet/internal/snapshot/s3"
	"github.com/raptorflow/tercet/internal/tiers/seal"
)

// Snapshots opens the store that snapshot_dir names: a directory, nats://BUCKET,
// which is made on as many servers as the domain's logs if it is missing, or
// s3://BUCKET. It returns nil if there is none. close lets go of it.
func Snapshots(ctx context.Context, c *config.Config, log *slog.Logger) (store snapshot.Store, closeIt func(), err error) {
	closeIt = func() {}
	scheme, rest, isURL := strings.Cut(c.SnapshotDir, "://")
	bad := func(why string) *config.Error {
		return &config.Error{Key: "snapshot_dir", Reason: why, Err: config.ErrValue}
	}
	switch {
	case c.SnapshotDir == "":
		return nil, closeIt, nil
	case !isURL:
		if store, err = directory.New(c.SnapshotDir); err != nil {
			return nil, closeIt, bad(err.Error())
		}
		return store, closeIt, nil
	case scheme == "s3":
		cfg, err := s3.ParseURL(c.SnapshotDir)
		if err != nil {
			return nil, closeIt, bad(err.Error())
		}
		store, err = s3.New(cfg)
		return store, closeIt, err
	case scheme == "nats" && rest != "" && url.PathEscape(rest) == rest:
		nc, err := Keep(ctx, c.NATS, "tercet snapshots", log)
		if err != nil {
			return nil, closeIt, err
		}
		if store, err = bucket(ctx, nc, rest, c.Replicas); err != nil {
			nc.Close()
			return nil, closeIt, err
		}
		return store, nc.Close, nil
	}
	return nil, closeIt, bad("want a directory, nats://BUCKET or s3://BUCKET/PREFIX")
}

func bucket(ctx context.Context, nc *nats.Conn, name string, replicas int) (snapshot.Store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return objectstore.Create(ctx, js, name, replicas)
}

// Retention says which snapshots are kept.
func Retention(c *config.Config) snapshot.Retention {
	return snapshot.Retention{Last: c.Snapshots.Last, Daily: c.Snapshots.Daily, MaxAge: c.Snapshots.MaxAge}
}

// Catalogue returns the configured domain's snapshots in store.
func Catalogue(c *config.Config, store snapshot.Store) (*snapshot.Catalogue, error) {
	var ring *seal.Ring
	var err error
	from := "seal_keys"
	if c.SealKeysFile != "" {
		from = "seal_keys_file"
		ring, err = seal.ReadFile(c.SealKeysFile)
	} else {
		ring, err = seal.Parse(c.SealKeys)
	}
	if err != nil {
		return nil, &config.Error{Key: from, Reason: err.Error(), Err: config.ErrValue}
	}
	return snapshot.NewCatalogue(store, snapshot.Config{Domain: c.Domain, Keys: ring})
}
